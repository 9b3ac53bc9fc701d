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

	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/tusclient"
)

// limitDescriptors returns a Tracer that limits a daemon to n descriptors.
func limitDescriptors(n int) []string {
	return []string{"/bin/sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, n)}
}

// TestRequestsBesideSlowUploads sends requests beside 200 slow uploads to a daemon with 1024
// descriptors, the limit of many systems.
func TestRequestsBesideSlowUploads(t *testing.T) {
	require.Long(t)
	t.Parallel()
	launch := Launch{Binary: builder.Binary(t, ""), Dir: filepath.Join(t.TempDir(), "uploads"), Tracer: limitDescriptors(1024)}
	daemon := Start(t, launch)
	slow := &slowUploads{client: daemon.Client()}
	body := make([]byte, 4096)
	for range 200 {
		if err := slow.open(2*int64(len(body)), body); err != nil {
			t.Fatal(err)
		}
	}
	daemon.awaitReceiving(t, 200)
	for range 50 {
		if err := uploadAndDelete(slow.client); err != nil {
			t.Fatalf("beside 200 slow uploads: %v", err)
		}
	}
	if err := slow.end(body); err != nil {
		t.Error(err)
	}
}

// TestNoDescriptorsLeft opens idle connections until the daemon has no descriptor left.
// Requests must wait or get transient errors, no acknowledged byte may be lost, the log must
// stay short, and when the connections close, requests succeed again.
func TestNoDescriptorsLeft(t *testing.T) {
	t.Parallel()
	const descriptors = 64
	launch := Launch{Binary: builder.Binary(t, ""), Dir: filepath.Join(t.TempDir(), "uploads"), Tracer: limitDescriptors(descriptors)}
	daemon := Start(t, launch)
	client := daemon.Client()
	ack, err := create(client, Content{{Seed: 3, Length: 9000}})
	if err == nil {
		err = patch(client, ack, 4000)
	}
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := connectAll(daemon.Address, 20)
	if err != nil {
		t.Fatal(err)
	}
	idle, err := connectAll(daemon.Address, 2*descriptors)
	if err != nil {
		t.Fatal(err)
	}
	awaitOutput(t, daemon, "new connections wait")
	refusals := 0
	for deadline := time.Now().Add(waitTimeout); refusals == 0 && !t.Failed() && time.Now().Before(deadline); {
		daemon.awaitDescriptors(t, descriptors) // of the waiting connections, each is open for a moment only
		for i, c := range accepted {
			short, err := requestWithoutDescriptors(c, ack, i)
			if err != nil {
				t.Error(err)
			}
			if short {
				refusals++
			}
		}
	}
	if refusals == 0 {
		t.Error("no request was refused for lack of descriptors: this proves nothing")
	}
	for _, c := range append(accepted, idle...) {
		c.Close()
	}
	awaitUpload(t, client)
	if err := EveryAck.Check(client, []*Ack{ack}); err != nil {
		t.Error(err)
	}
	if n := strings.Count(daemon.Output(), "new connections wait") + strings.Count(daemon.Output(), "Accept error"); n > 2 {
		t.Errorf("%d lines in the log are about it", n)
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

// awaitUpload waits until an upload succeeds: the server closes the idle connections one
// after another.
func awaitUpload(t *testing.T, client *tusclient.Client) {
	t.Helper()
	for deadline := time.Now().Add(waitTimeout); ; time.Sleep(10 * time.Millisecond) {
		err := uploadAndDelete(client)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after the idle connections have closed: %v", err)
		}
	}
}

// awaitOutput waits until the output has text.
func awaitOutput(t *testing.T, daemon *Daemon, text string) {
	t.Helper()
	for deadline := time.Now().Add(waitTimeout); !strings.Contains(daemon.Output(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the log has no %q", text)
		}
	}
}

// awaitDescriptors waits until the daemon has n descriptors.
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

// requestWithoutDescriptors sends the i-th kind of request over the connection of c. It
// reports whether the server refused it for lack of descriptors. Other refusals are errors.
func requestWithoutDescriptors(c *tusclient.Client, ack *Ack, i int) (short bool, err error) {
	requests := []struct {
		method string
		send   func() (tusclient.Answer, error)
	}{
		{http.MethodHead, func() (tusclient.Answer, error) { return c.Head(ack.Path) }},
		{http.MethodPatch, func() (tusclient.Answer, error) {
			return c.Patch(ack.Path, ack.Offset, ack.Content.Bytes(ack.Offset, 100))
		}},
		{http.MethodGet, func() (tusclient.Answer, error) { return c.Get(ack.Path) }},
		{http.MethodPost, func() (tusclient.Answer, error) { return c.Create(10) }},
		{http.MethodPost, func() (tusclient.Answer, error) { return c.CreateWith(10, ack.Content.Bytes(ack.Offset, 10)) }},
	}
	request := requests[i%len(requests)]
	answer, err := request.send()
	switch {
	case err != nil:
		return false, err
	case answer.Status < 300 && request.method == http.MethodPatch:
		ack.Offset = answer.Offset()
	case answer.Status >= 300 && !answer.Transient() && request.method != http.MethodGet:
		err = fmt.Errorf("%s without descriptors: %v", request.method, answer)
	case answer.Status == http.StatusNotFound:
		err = errors.New("GET without descriptors: 404")
	}
	return answer.Status >= 300 && answer.Transient(), err
}
