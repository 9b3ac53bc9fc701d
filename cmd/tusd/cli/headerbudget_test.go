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

// net/http sends files without copying them, and says goodbye, only through
// these.
var _ tcpConn = (*headerConn)(nil)

// headServer is a server whose heads are watched. Its handler waits for
// release if the request has a body.
func headServer(t *testing.T, release <-chan struct{}) (*headerBudget, string) {
	t.Helper()
	watched := new(headerBudget)
	return watched, serveHeads(t, watched, release, func(l net.Listener) net.Listener { return l })
}

// serveHeads is headServer with a listener around that which is watched.
func serveHeads(t *testing.T, watched *headerBudget, release <-chan struct{}, above func(net.Listener) net.Listener) string {
	t.Helper()
	cfg, err := parse("-enable-h2c")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := newServer(cfg, watched.handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusEarlyHints) // it has begun
		}
		if r.ContentLength != 0 {
			<-release
		}
	})), quiet)
	server.ConnState, server.ConnContext = watched.follow, withHeaderConn
	go server.Serve(above(watched.listener(listener)))
	t.Cleanup(func() { server.Close() })
	return listener.Addr().String()
}

func (h *headerBudget) holds() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.used
}

const largeSize = 200 << 10

// crowdOf opens many connections that say text, which has a large head.
func crowdOf(t *testing.T, address, text string) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, 2*maxLargeHeaders/largeSize)
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
	large := strings.Repeat("x", largeSize)
	for name, text := range map[string]string{
		"unfinished": "HEAD / HTTP/1.1\r\nHost: a\r\nX: " + large,
		"running":    "PUT / HTTP/1.1\r\nHost: a\r\nX: " + large + "\r\nContent-Length: 9\r\n\r\n",
		"many lines": "HEAD / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X:\r\n", largeSize/(4+lineCost)),
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
			if held := watched.holds(); held > maxLargeHeaders {
				t.Errorf("%d bytes are held, want at most %d", held, maxLargeHeaders)
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
	for range 3 * maxLargeHeaders / largeSize {
		answer, err := wire.Do(conn, wire.Request{Method: http.MethodHead, Target: "/", Header: []string{"X: " + strings.Repeat("x", largeSize)}}, nil)
		if err != nil || answer.Status != http.StatusOK {
			t.Fatalf("%v, %v", answer, err)
		}
	}
	await(t, "all to be given back", func() bool { return watched.holds() == 0 })
}

// A head that net/http has read together with the request before counts, too.
func TestHeadOfNextRequest(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	watched, address := headServer(t, release)
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
	await(t, "the head to be counted", func() bool { return watched.holds() >= lines*lineCost })
	close(release)
	conn.Close()
	await(t, "all to be given back", func() bool { return watched.holds() == 0 })
}

// Streams of HTTP/2 with large heads are reset beyond the budget, the oldest
// first. A new one is served.
func TestLargeHeadsOverHTTP2(t *testing.T) {
	var watched headerBudget
	wait := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			<-r.Context().Done()
		}
	})
	large := []string{"X: " + strings.Repeat("x", largeSize)}
	var conns []wire.Conn
	var streams []wire.Stream
	const n = maxLargeHeaders/(4*largeSize) + 1
	for range n { // each on a connection of its own: it ends with the stream
		conn := connectedTo(t, watched.handler(wait).ServeHTTP)
		before := watched.holds()
		s, err := conn.Open(wire.Request{Method: http.MethodPost, Target: "/", Header: large, Length: wire.Unknown})
		if err != nil {
			t.Fatal(err)
		}
		if len(streams) < n-1 {
			await(t, "the head to be counted", func() bool { return watched.holds() > before })
		}
		conns, streams = append(conns, conn), append(streams, s)
	}
	if first, err := streams[0].Response(); err == nil {
		t.Errorf("the oldest one: %v", first)
	}
	if held := watched.holds(); held > maxLargeHeaders {
		t.Errorf("%d bytes are held, want at most %d", held, maxLargeHeaders)
	}
	last := connectedTo(t, watched.handler(wait).ServeHTTP)
	if answer, err := wire.Do(last, wire.Request{Method: http.MethodGet, Target: "/", Header: large}, nil); err != nil || answer.Status != http.StatusOK {
		t.Errorf("a new one: %v, %v", answer, err)
	}
	for _, conn := range conns {
		conn.Close()
	}
	await(t, "all to be given back", func() bool { return watched.holds() == 0 })
}

// Content that comes with a head is none, whether it can be read or not: while a
// crowd with large heads comes, the request goes on.
func TestContentIsNoHead(t *testing.T) {
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
			watched, release := new(headerBudget), make(chan struct{})
			address := serveHeads(t, watched, release, c.above)
			conn, err := c.dial(address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(patience))
			if _, err := io.WriteString(conn, head+content); err != nil {
				t.Fatal(err)
			}
			answers := bufio.NewReader(conn)
			if answer, err := http.ReadResponse(answers, nil); err != nil || answer.StatusCode != http.StatusEarlyHints {
				t.Fatalf("%v, %v", answer, err)
			}
			if held := watched.holds(); held != 0 {
				t.Errorf("%d bytes are held for a small head", held)
			}
			crowd := strings.Repeat("x", largeSize)
			crowdOf(t, serveHeads(t, watched, release, plain), "HEAD / HTTP/1.1\r\nHost: a\r\nX: "+crowd)
			await(t, "the budget to be used up", func() bool { return watched.holds() > maxLargeHeaders*9/10 })
			close(release)
			if answer, err := http.ReadResponse(answers, nil); err != nil || answer.StatusCode != http.StatusOK {
				t.Errorf("%v, %v", answer, err)
			}
		})
	}
}

// A single head is served, also where the operator allows larger ones than the
// budget has.
func TestOneHeadBeyondTheBudget(t *testing.T) {
	var watched headerBudget
	alone := &largeHeader{end: func() { t.Error("it was ended") }}
	watched.charge(alone, 2*maxLargeHeaders)
	watched.charge(alone, 0)
	if held := watched.holds(); held != 0 {
		t.Errorf("%d bytes are held", held)
	}
}

// A connection of HTTP/2 is no head, however much comes before its first
// request.
func TestHTTP2ConnectionIsNoHead(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	watched, address := headServer(t, release)
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
	if held := watched.holds(); held != 0 {
		t.Errorf("%d bytes are held", held)
	}
}
