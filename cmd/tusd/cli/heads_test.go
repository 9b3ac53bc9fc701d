package cli

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd/internal/wire"
)

// net/http sends files without copying them, and says goodbye, only through
// these.
var _ tcpConn = (*headConn)(nil)

// headServer is a server whose heads are watched. Its handler waits for
// release if the request has a body.
func headServer(t *testing.T, release <-chan struct{}) (*heads, string) {
	t.Helper()
	cfg, err := parse()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	watched := new(heads)
	server := newServer(cfg, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			<-release
		}
	}), quiet)
	server.ConnState = watched.follow
	go server.Serve(watched.guard(listener))
	t.Cleanup(func() { server.Close() })
	return watched, listener.Addr().String()
}

func (h *heads) holds() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.held
}

const largeHead = 200 << 10

// crowdOf opens many connections that say text, which has a large head.
func crowdOf(t *testing.T, address, text string) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, 2*headBudget/largeHead)
	for i := range conns {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(patience))
		io.WriteString(conn, text) // fails if the server closes
		conns[i] = conn
	}
	return conns
}

// Large heads that are not complete, and those of requests that last, share
// the budget: it is the connections that have had one for the longest time
// that are closed.
func TestLargeHeadsShareABudget(t *testing.T) {
	large := strings.Repeat("x", largeHead)
	for name, text := range map[string]string{
		"unfinished": "HEAD / HTTP/1.1\r\nHost: a\r\nX: " + large,
		"running":    "PUT / HTTP/1.1\r\nHost: a\r\nX: " + large + "\r\nContent-Length: 9\r\n\r\n",
		"many lines": "HEAD / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X:\r\n", largeHead/(4+lineCost)),
	} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			watched, address := headServer(t, release)
			conns := crowdOf(t, address, text)
			if _, err := conns[0].Read(make([]byte, 1)); err == nil {
				t.Error("the oldest connection is served")
			} else if late, ok := err.(net.Error); ok && late.Timeout() {
				t.Error("the oldest connection stays open")
			}
			if held := watched.holds(); held > headBudget {
				t.Errorf("%d bytes are held, want at most %d", held, headBudget)
			}
			if status := headStatus(t, address, "HEAD / HTTP/1.1\r\nHost: a\r\nX: "+large+"\r\n\r\n"); status != http.StatusOK {
				t.Errorf("a large head of an honest client: %d", status)
			}
			close(release)
			for _, conn := range conns {
				conn.Close()
			}
			await(t, "all to be given back", func() bool { return watched.holds() == 0 })
		})
	}
}

// headStatus sends a request over a connection of its own.
func headStatus(t *testing.T, address, text string) (status int) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	io.WriteString(conn, text)
	fmt.Fscanf(conn, "HTTP/1.1 %d", &status)
	return status
}

// A connection that is used again has a head anew with each request.
func TestHeadsOfOneConnection(t *testing.T) {
	t.Parallel()
	watched, address := headServer(t, nil)
	conn, err := wire.DialHTTP1(address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 3 * headBudget / largeHead {
		answer, err := wire.Do(conn, wire.Request{Method: http.MethodHead, Target: "/", Header: []string{"X: " + strings.Repeat("x", largeHead)}}, nil)
		if err != nil || answer.Status != http.StatusOK {
			t.Fatalf("%v, %v", answer, err)
		}
	}
	await(t, "all to be given back", func() bool { return watched.holds() == 0 })
}

// Streams of HTTP/2 with large heads are refused beyond the budget.
func TestLargeHeadsOverHTTP2(t *testing.T) {
	var watched heads
	release := make(chan struct{})
	wait := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release })
	refuse := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
	conn := connectedTo(t, watched.bound(wait, refuse).ServeHTTP)
	const n = headBudget/(4*largeHead) + 1
	var streams []wire.Stream
	for range n {
		s, err := conn.Open(wire.Request{Method: http.MethodGet, Target: "/", Header: []string{"X: " + strings.Repeat("x", largeHead)}})
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}
	last, err := streams[n-1].Response()
	if err != nil || last.Status != http.StatusServiceUnavailable {
		t.Errorf("the last one: %v, %v", last, err)
	}
	if held := watched.holds(); held > headBudget {
		t.Errorf("%d bytes are held, want at most %d", held, headBudget)
	}
	close(release)
	if first, err := streams[0].Response(); err != nil || first.Status != http.StatusOK {
		t.Errorf("the first one: %v, %v", first, err)
	}
	await(t, "all to be given back", func() bool { return watched.holds() == 0 })
}
