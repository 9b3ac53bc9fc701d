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

	"github.com/tus/tusd/internal/tusclient"
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
	slow := &slowUploads{client: daemon.Client()}
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
	client := daemon.Client()
	kept, err := create(client, Content{{Seed: 3, Length: 9000}})
	if err == nil {
		err = patch(client, kept, 4000)
	}
	if err != nil {
		t.Fatal(err)
	}
	waiting, err := connectAll(daemon.Address, 20) // connections that the server has accepted
	if err != nil {
		t.Fatal(err)
	}
	idle, err := connectAll(daemon.Address, 2*descriptors)
	if err != nil {
		t.Fatal(err)
	}
	awaitOutput(t, daemon, "new connections wait")
	daemon.awaitDescriptors(t, descriptors) // one that was used for a moment is taken by the next stranger
	met := 0
	for i, c := range waiting {
		short, err := requestOver(c, kept, i)
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
	for _, c := range append(waiting, idle...) {
		c.Close()
	}
	awaitWholeLife(t, client)
	if err := AllPromises.Check(client, []*Promise{kept}); err != nil {
		t.Error(err)
	}
	if n := strings.Count(daemon.Output(), "new connections wait") + strings.Count(daemon.Output(), "Accept error"); n > 2 {
		t.Errorf("%d lines in the log tell of it", n)
	}
}

// connectAll opens n connections.
func connectAll(address string, n int) (clients []*tusclient.Client, err error) {
	for range n {
		c := tusclient.New(address)
		c.Keep = true
		if err := c.Connect(); err != nil {
			return nil, err
		}
		clients = append(clients, c)
	}
	return clients, nil
}

// awaitWholeLife waits until uploads succeed: the server closes what idle clients
// have left one connection after the other.
func awaitWholeLife(t *testing.T, client *tusclient.Client) {
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

// requestOver sends the i-th kind of request for p over the connection of c. It reports
// whether the server had no descriptor for it. Other refusals are errors.
func requestOver(c *tusclient.Client, p *Promise, i int) (short bool, err error) {
	requests := []struct {
		method string
		send   func() (tusclient.Answer, error)
	}{
		{http.MethodHead, func() (tusclient.Answer, error) { return c.Head(p.Path) }},
		{http.MethodPatch, func() (tusclient.Answer, error) { return c.Patch(p.Path, p.Offset, p.Content.Piece(p.Offset, 100)) }},
		{http.MethodGet, func() (tusclient.Answer, error) { return c.Get(p.Path) }},
		{http.MethodPost, func() (tusclient.Answer, error) { return c.Create(10) }},
		{http.MethodPost, func() (tusclient.Answer, error) { return c.CreateWith(10, p.Content.Piece(p.Offset, 10)) }},
	}
	request := requests[i%len(requests)]
	answer, err := request.send()
	switch {
	case err != nil:
		return false, err
	case answer.Status < 300 && request.method == http.MethodPatch:
		p.Offset = answer.Offset()
	case answer.Status >= 300 && !answer.Transient() && request.method != http.MethodGet:
		err = fmt.Errorf("%s without descriptors: %v", request.method, answer)
	case answer.Status == http.StatusNotFound:
		err = errors.New("GET without descriptors: 404")
	}
	return answer.Status >= 300 && answer.Transient(), err
}
