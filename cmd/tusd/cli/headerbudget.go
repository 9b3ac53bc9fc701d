package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// The head of a request is in memory from its first byte until the request has
// ended, and a client may take its time for both: a thousand connections, each
// with a head as large as is allowed, are hundreds of MiB. So large heads have
// a budget together. Beyond it the request ends whose head has been large for
// the longest time: honest ones are gone in an instant.
const (
	maxLargeHeaders = 8 << 20  // bytes, for all large heads together
	smallHeader     = 16 << 10 // bytes that each may take without being large
	lineCost        = 64       // bytes that a line takes beside its own
)

// headerBudget watches the heads of requests: of HTTP/1.1 as they come in, of HTTP/2,
// whose requests share a connection, when they have come in. unreadBudget bounds
// those that come in there. The zero value is ready to use.
type headerBudget struct {
	mu    sync.Mutex
	used  int64          // bytes, by large
	large []*largeHeader // that which is large for the longest time first
}

// largeHeader is a head that may be large.
type largeHeader struct {
	end func() // ends its request

	// Guarded by heads.mu.
	cost  int64 // bytes; 0: it is not large
	ended bool  // the budget was used up
}

// charge holds cost bytes for l against the budget. 0 gives all back.
func (h *headerBudget) charge(l *largeHeader, cost int64) {
	for _, oldest := range h.update(l, cost) {
		oldest.end()
	}
}

// update is charge, but for ending those that it returns.
func (h *headerBudget) update(l *largeHeader, cost int64) (ended []*largeHeader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case l.ended:
		return nil
	case l.cost == 0 && cost > 0:
		h.large = append(h.large, l)
	case l.cost > 0 && cost == 0:
		h.large = slices.DeleteFunc(h.large, func(other *largeHeader) bool { return other == l })
	}
	h.used += cost - l.cost
	l.cost = cost
	for h.used > maxLargeHeaders && len(h.large) > 1 { // a single one is served, however large it may be
		oldest := h.large[0]
		h.large = h.large[1:]
		h.used -= oldest.cost
		oldest.cost, oldest.ended = 0, true
		ended = append(ended, oldest)
	}
	return ended
}

// tcpConn is what net/http uses of a connection.
type tcpConn interface {
	net.Conn
	io.ReaderFrom // sends files without copying them
	CloseWrite() error
}

// headerConn counts what it reads of heads of HTTP/1.1. TLS comes above it, so it
// cannot see where a head ends: it counts what comes with the head, too, until
// the handler begins.
type headerConn struct {
	tcpConn
	budget *headerBudget

	mu     sync.Mutex
	reads  reading
	cost   int64 // bytes, of the head so far
	large  bool  // head may be in heads.large
	header largeHeader
}

// reading is what comes over a headerConn.
type reading int

const (
	readsHeader reading = iota
	readsBody           // or nothing
	readsHTTP2
	readsNothing // it is closed
)

// http2Preface is how a connection of HTTP/2 begins if it has no TLS.
const http2Preface = "PRI "

// NetConn is for connOf.
func (c *headerConn) NetConn() net.Conn { return c.tcpConn }

// Read implements net.Conn.
func (c *headerConn) Read(p []byte) (int, error) {
	n, err := c.tcpConn.Read(p)
	if n > 0 {
		c.count(p[:n])
	}
	return n, err
}

func (c *headerConn) count(read []byte) {
	c.note(func() {
		switch {
		case c.reads != readsHeader:
		case c.cost == 0 && bytes.HasPrefix(read, []byte(http2Preface)):
			c.reads = readsHTTP2
		default:
			c.cost += int64(len(read) + lineCost*bytes.Count(read, []byte("\n")))
		}
	})
}

// Close implements net.Conn.
func (c *headerConn) Close() error {
	c.note(func() { c.reads, c.cost = readsNothing, 0 })
	return c.tcpConn.Close()
}

// received notes that a head is complete, and what it takes.
func (c *headerConn) received(cost int64) {
	c.note(func() {
		if c.reads == readsBody {
			c.cost = cost
		}
	})
}

// note changes reads and cost, and charges what the head takes then.
func (c *headerConn) note(change func()) {
	c.mu.Lock()
	change()
	cost := c.cost
	if cost <= smallHeader {
		cost = 0
	}
	var ended []*largeHeader
	if cost > 0 || c.large {
		c.large = cost > 0
		ended = c.budget.update(&c.header, cost)
	}
	c.mu.Unlock()
	for _, oldest := range ended {
		oldest.end()
	}
}

// follow is for the ConnState of a server.
func (h *headerBudget) follow(conn net.Conn, state http.ConnState) {
	if state != http.StateActive && state != http.StateIdle {
		return
	}
	next := readsHeader
	if state == http.StateActive {
		next = readsBody
	}
	if secure, ok := conn.(*tls.Conn); ok && secure.ConnectionState().NegotiatedProtocol == "h2" {
		next = readsHTTP2
	}
	if c, ok := connOf[*headerConn](conn); ok {
		c.note(func() {
			if c.reads == readsHTTP2 || c.reads == readsNothing {
				return
			}
			if c.reads = next; next != readsBody {
				c.cost = 0
			}
		})
	}
}

// listener returns a listener whose connections are watched.
func (h *headerBudget) listener(inner net.Listener) net.Listener { return headerListener{inner, h} }

type headerListener struct {
	net.Listener
	budget *headerBudget
}

func (l headerListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(tcpConn); ok && err == nil {
		c := &headerConn{tcpConn: tcp, budget: l.budget}
		c.header.end = func() { tcp.Close() } // which ends its request, if there is one already
		return c, nil
	}
	return conn, err
}

type headerConnKey struct{}

// withHeaderConn puts the connection of a request into its context.
func withHeaderConn(ctx context.Context, conn net.Conn) context.Context {
	if head, ok := connOf[*headerConn](conn); ok {
		return context.WithValue(ctx, headerConnKey{}, head)
	}
	return ctx
}

// handler returns a handler whose requests are counted with what their heads take.
// A connection of HTTP/2 that had a large head ends with the streams that it has:
// while it lives, package hpack keeps a buffer for it that is three times as
// large.
func (h *headerBudget) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cost := headerCost(r)
		conn, ok := r.Context().Value(headerConnKey{}).(*headerConn)
		switch {
		case r.ProtoMajor == 1 && ok:
			conn.received(cost)
		case r.ProtoMajor == 2 && cost > smallHeader:
			w.Header().Set("Connection", "close")
			stream := &largeStream{w: w}
			head := &largeHeader{end: stream.reset}
			h.charge(head, 4*cost)
			defer h.charge(head, 0)
			defer stream.ended()
		}
		next.ServeHTTP(w, r)
	})
}

// largeStream is a request of HTTP/2 with a large head.
type largeStream struct {
	mu sync.Mutex
	w  http.ResponseWriter // nil: the request has ended
}

// reset ends the request: net/http resets a stream whose time to write is over.
func (s *largeStream) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.w != nil {
		http.NewResponseController(s.w).SetWriteDeadline(time.Unix(1, 0))
	}
}

func (s *largeStream) ended() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w = nil
}

// headerCost is what the head of a request takes.
func headerCost(r *http.Request) int64 {
	n := len(r.RequestURI) + len(r.Host)
	for name, values := range r.Header {
		for _, value := range values {
			n += len(name) + len(value) + lineCost
		}
	}
	return int64(n)
}
