package cli

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd/internal/wire"
)

// net/http needs these methods to send files without a copy, and to close its side
// first.
var _ tcpConn = (*headerConn)(nil)

// headerServer starts a server with a header budget. Its handler waits for release
// if the request has a body.
func headerServer(t *testing.T, release <-chan struct{}) (*headerBudget, string) {
	t.Helper()
	budget := new(headerBudget)
	return budget, serveHeaders(t, budget, release, func(l net.Listener) net.Listener { return l })
}

// serveHeaders is headerServer with a given budget and a wrapper of its listener.
func serveHeaders(t *testing.T, budget *headerBudget, release <-chan struct{}, above func(net.Listener) net.Listener) string {
	t.Helper()
	cfg, err := parse("-enable-h2c")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := newServer(cfg, budget.handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusEarlyHints) // the handler has started
		}
		if r.ContentLength != 0 {
			<-release
		}
	})), quiet)
	server.ConnState, server.ConnContext = budget.follow, withHeaderConn
	go server.Serve(above(budget.listener(listener)))
	t.Cleanup(func() { server.Close() })
	return listener.Addr().String()
}

func (h *headerBudget) reserved() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.used
}

const largeSize = 200 << 10

// openLargeHeaders opens many connections that send text, which has a large header.
func openLargeHeaders(t *testing.T, address, text string) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, 2*maxLargeHeaders/largeSize)
	for i := range conns {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(testTimeout))
		io.WriteString(conn, text) // fails if the server closes
		conns[i] = conn
	}
	return conns
}

// Large headers share the budget, whether they are unfinished or their requests are
// running. The connections with the oldest large headers are closed.
func TestLargeHeadersShareABudget(t *testing.T) {
	large := strings.Repeat("x", largeSize)
	for name, text := range map[string]string{
		"unfinished": "HEAD / HTTP/1.1\r\nHost: a\r\nX: " + large,
		"running":    "PUT / HTTP/1.1\r\nHost: a\r\nX: " + large + "\r\nContent-Length: 9\r\n\r\n",
		"many lines": "HEAD / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X:\r\n", largeSize/(4+lineCost)),
	} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			budget, address := headerServer(t, release)
			conns := openLargeHeaders(t, address, text)
			if _, err := conns[0].Read(make([]byte, 1)); err == nil {
				t.Error("the oldest connection is served")
			} else if late, ok := err.(net.Error); ok && late.Timeout() {
				t.Error("the oldest connection stays open")
			}
			if n := budget.reserved(); n > maxLargeHeaders {
				t.Errorf("%d bytes are reserved, want at most %d", n, maxLargeHeaders)
			}
			if status := statusOfRequest(t, address, "HEAD / HTTP/1.1\r\nHost: a\r\nX: "+large+"\r\n\r\n"); status != http.StatusOK {
				t.Errorf("a large header of a complete request: %d", status)
			}
			close(release)
			for _, conn := range conns {
				conn.Close()
			}
			await(t, "the budget to be released", func() bool { return budget.reserved() == 0 })
		})
	}
}

// statusOfRequest sends a request over a new connection, and returns the status.
func statusOfRequest(t *testing.T, address, text string) (status int) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(testTimeout))
	io.WriteString(conn, text)
	fmt.Fscanf(conn, "HTTP/1.1 %d", &status)
	return status
}

// The header of a request is released before the next request of its connection.
func TestHeadersOfOneConnection(t *testing.T) {
	t.Parallel()
	budget, address := headerServer(t, nil)
	conn, err := wire.DialHTTP1(address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 3 * maxLargeHeaders / largeSize {
		answer, err := wire.Do(conn, wire.Request{Method: http.MethodHead, Target: "/", Header: []string{"X: " + strings.Repeat("x", largeSize)}}, nil)
		if err != nil || answer.Status != http.StatusOK {
			t.Fatalf("%v, %v", answer, err)
		}
	}
	await(t, "the budget to be released", func() bool { return budget.reserved() == 0 })
}

// A header that net/http has read together with the previous request counts, too.
func TestHeaderOfNextRequest(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	budget, address := headerServer(t, release)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const lines = 900
	next := "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n" + strings.Repeat("X:\r\n", lines) + "\r\n"
	if _, err := io.WriteString(conn, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"+next); err != nil {
		t.Fatal(err)
	}
	await(t, "the header to be counted", func() bool { return budget.reserved() >= lines*lineCost })
	close(release)
	conn.Close()
	await(t, "the budget to be released", func() bool { return budget.reserved() == 0 })
}

// HTTP/2 streams with large headers are reset when the budget is used up, the oldest
// first. A new stream is served.
func TestLargeHeadersOverHTTP2(t *testing.T) {
	var budget headerBudget
	wait := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			<-r.Context().Done()
		}
	})
	large := []string{"X: " + strings.Repeat("x", largeSize)}
	var conns []wire.Conn
	var streams []wire.Stream
	const n = maxLargeHeaders/(4*largeSize) + 1
	for range n { // each on its own connection, which ends with the stream
		conn := connectedTo(t, budget.handler(wait).ServeHTTP)
		before := budget.reserved()
		s, err := conn.Open(wire.Request{Method: http.MethodPost, Target: "/", Header: large, Length: wire.Unknown})
		if err != nil {
			t.Fatal(err)
		}
		if len(streams) < n-1 {
			await(t, "the header to be counted", func() bool { return budget.reserved() > before })
		}
		conns, streams = append(conns, conn), append(streams, s)
	}
	if first, err := streams[0].Response(); err == nil {
		t.Errorf("the oldest one: %v", first)
	}
	if n := budget.reserved(); n > maxLargeHeaders {
		t.Errorf("%d bytes are reserved, want at most %d", n, maxLargeHeaders)
	}
	last := connectedTo(t, budget.handler(wait).ServeHTTP)
	if answer, err := wire.Do(last, wire.Request{Method: http.MethodGet, Target: "/", Header: large}, nil); err != nil || answer.Status != http.StatusOK {
		t.Errorf("a new one: %v, %v", answer, err)
	}
	for _, conn := range conns {
		conn.Close()
	}
	await(t, "the budget to be released", func() bool { return budget.reserved() == 0 })
}

// Content that is read together with a header does not count as header, with and
// without TLS. Its request goes on while large headers use up the budget.
func TestContentIsNoHeader(t *testing.T) {
	t.Parallel()
	p := newPair(t, t.TempDir(), "a")
	certificates, err := newCertificates(p.cert, p.key, quiet)
	if err != nil {
		t.Fatal(err)
	}
	const head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 15000\r\n\r\n"
	content := strings.Repeat("1\n", 7500)
	plain := func(l net.Listener) net.Listener { return l }
	for name, c := range map[string]struct {
		above func(net.Listener) net.Listener
		dial  func(address string) (net.Conn, error)
	}{
		"plain": {plain, func(address string) (net.Conn, error) { return net.Dial("tcp", address) }},
		"TLS": {
			func(l net.Listener) net.Listener { return tls.NewListener(l, newTLSConfig("tls12", certificates)) },
			func(address string) (net.Conn, error) {
				return tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			budget, release := new(headerBudget), make(chan struct{})
			address := serveHeaders(t, budget, release, c.above)
			conn, err := c.dial(address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(testTimeout))
			if _, err := io.WriteString(conn, head+content); err != nil {
				t.Fatal(err)
			}
			answers := bufio.NewReader(conn)
			if answer, err := http.ReadResponse(answers, nil); err != nil || answer.StatusCode != http.StatusEarlyHints {
				t.Fatalf("%v, %v", answer, err)
			}
			if n := budget.reserved(); n != 0 {
				t.Errorf("%d bytes are reserved for a small header", n)
			}
			large := strings.Repeat("x", largeSize)
			openLargeHeaders(t, serveHeaders(t, budget, release, plain), "HEAD / HTTP/1.1\r\nHost: a\r\nX: "+large)
			await(t, "the budget to be used up", func() bool { return budget.reserved() > maxLargeHeaders*9/10 })
			close(release)
			if answer, err := http.ReadResponse(answers, nil); err != nil || answer.StatusCode != http.StatusOK {
				t.Errorf("%v, %v", answer, err)
			}
		})
	}
}

// A single header is served even if it is larger than the budget.
func TestOneHeaderBeyondTheBudget(t *testing.T) {
	var budget headerBudget
	alone := &largeHeader{end: func() { t.Error("its connection was ended") }}
	budget.charge(alone, 2*maxLargeHeaders)
	budget.charge(alone, 0)
	if n := budget.reserved(); n != 0 {
		t.Errorf("%d bytes are reserved", n)
	}
}

// Frames before the first request of an HTTP/2 connection do not count as header.
func TestHTTP2FramesAreNoHeader(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	budget, address := headerServer(t, release)
	frames, err := wire.DialFrames(address)
	if err != nil {
		t.Fatal(err)
	}
	defer frames.Close()
	for range 4 * smallHeader / 17 {
		if err := frames.WritePing(false, [8]byte{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := frames.Request(http.MethodHead, "/", true); err != nil {
		t.Fatal(err)
	}
	if statuses, err := frames.Statuses(1); err != nil || statuses[1] != "200" {
		t.Errorf("%v, %v", statuses, err)
	}
	if n := budget.reserved(); n != 0 {
		t.Errorf("%d bytes are reserved", n)
	}
}
