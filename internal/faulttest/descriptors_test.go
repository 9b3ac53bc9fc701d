//go:build linux

package faulttest

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd/internal/wire"
)

// withDescriptors is a Tracer that lets a daemon have n descriptors.
func withDescriptors(n int) []string {
	return []string{"/bin/sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, n)}
}

// TestTrafficBesideSlowUploads: with the 1024 descriptors that many systems give
// a process, 200 slow uploads leave enough for ordinary traffic.
func TestTrafficBesideSlowUploads(t *testing.T) {
	t.Parallel()
	launch := Launch{Binary: builder.Binary(t, ""), Dir: filepath.Join(t.TempDir(), "uploads"), Tracer: withDescriptors(1024)}
	daemon := Start(t, launch)
	slow := &slowUploads{client: Client{daemon.Address}}
	body := make([]byte, 4096)
	for range 200 {
		if err := slow.begin(2*int64(len(body)), body); err != nil {
			t.Fatal(err)
		}
	}
	daemon.awaitReceiving(t, 200)
	for range 50 {
		if err := wholeLife(slow.client); err != nil {
			t.Fatalf("beside 200 slow uploads: %v", err)
		}
	}
	if err := slow.end(body); err != nil {
		t.Error(err)
	}
}

// TestNoDescriptorsLeft: when idle connections take every descriptor, requests wait or
// get answers after which clients come back; nothing that was acknowledged is lost or
// called missing; the log stays short; and when they close, all is as before.
func TestNoDescriptorsLeft(t *testing.T) {
	t.Parallel()
	const descriptors = 64
	launch := Launch{Binary: builder.Binary(t, ""), Dir: filepath.Join(t.TempDir(), "uploads"), Tracer: withDescriptors(descriptors)}
	daemon := Start(t, launch)
	client := Client{daemon.Address}
	kept, err := create(client, Content{{Seed: 3, Length: 9000}})
	if err == nil {
		err = patch(client, kept, 4000)
	}
	if err != nil {
		t.Fatal(err)
	}
	waiting, err := dialAll(client.Address, 20) // connections that the server has accepted
	if err != nil {
		t.Fatal(err)
	}
	idle, err := dialAll(client.Address, 2*descriptors)
	if err != nil {
		t.Fatal(err)
	}
	awaitOutput(t, daemon, "new connections wait")
	daemon.awaitDescriptors(t, descriptors) // one that was used for a moment is taken by the next stranger
	met := 0
	for i, conn := range waiting {
		short, err := requestOver(conn, kept, i)
		if err != nil {
			t.Error(err)
		}
		if short {
			met++
		}
	}
	if met == 0 {
		t.Error("no request met the lack of descriptors: this shows nothing")
	}
	for _, conn := range append(waiting, idle...) {
		conn.Close()
	}
	awaitWholeLife(t, client)
	if err := AllPromises.Check(client, []*Promise{kept}); err != nil {
		t.Error(err)
	}
	if n := strings.Count(daemon.Output(), "new connections wait") + strings.Count(daemon.Output(), "Accept error"); n > 2 {
		t.Errorf("%d lines in the log tell of it", n)
	}
}

// dialAll opens n connections.
func dialAll(address string, n int) (conns []wire.Conn, err error) {
	for range n {
		conn, err := wire.DialHTTP1(address)
		if err != nil {
			return nil, err
		}
		conns = append(conns, conn)
	}
	return conns, nil
}

// awaitWholeLife waits until uploads succeed: the server closes what idle clients
// have left one connection after the other.
func awaitWholeLife(t *testing.T, client Client) {
	t.Helper()
	for deadline := time.Now().Add(waitTimeout); ; time.Sleep(10 * time.Millisecond) {
		err := wholeLife(client)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("when the idle connections have closed: %v", err)
		}
	}
}

func awaitOutput(t *testing.T, daemon *Daemon, text string) {
	t.Helper()
	for deadline := time.Now().Add(waitTimeout); !strings.Contains(daemon.Output(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the daemon does not say %q", text)
		}
	}
}

// awaitDescriptors waits until the daemon has n.
func (d *Daemon) awaitDescriptors(t *testing.T, n int) {
	t.Helper()
	for deadline := time.Now().Add(waitTimeout); ; time.Sleep(time.Millisecond) {
		open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.PID()))
		if err != nil {
			t.Fatal(err)
		}
		if len(open) >= n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the daemon has %d descriptors, want %d", len(open), n)
		}
	}
}

// requestOver sends the i-th kind of request for p over conn. It returns whether
// the server was short of something, and an error if an answer means more than
// that.
func requestOver(conn wire.Conn, p *Promise, i int) (short bool, err error) {
	requests := []wire.Request{
		{Method: http.MethodHead, Target: p.Path},
		{Method: http.MethodPatch, Target: p.Path, Header: patchHeader(p.Offset), Length: 100},
		{Method: http.MethodGet, Target: p.Path},
		{Method: http.MethodPost, Target: uploadsPath, Header: []string{"Upload-Length: 10"}},
		{Method: http.MethodPost, Target: uploadsPath, Header: []string{"Upload-Length: 10", offsetStream}, Length: 10},
	}
	request := requests[i%len(requests)]
	request.Header = append(request.Header, tusMark)
	stream, err := conn.Open(request)
	if err != nil {
		return false, err
	}
	if request.Length > 0 {
		if _, err := stream.Write(p.Content.Piece(p.Offset, request.Length)); err != nil {
			return false, err
		}
	}
	response, err := stream.Response()
	if err != nil {
		return false, err
	}
	answer := Answer{response.Status, response.Header, response.Body}
	switch {
	case answer.Status < 300 && request.Method == http.MethodPatch:
		p.Offset = answer.Offset()
	case answer.Status >= 300 && !answer.Transient() && request.Method != http.MethodGet:
		err = fmt.Errorf("%s %s, without descriptors: %v", request.Method, request.Target, answer)
	case answer.Status == http.StatusNotFound:
		err = errors.New("GET, without descriptors: 404")
	}
	return answer.Status >= 300 && answer.Transient(), err
}
