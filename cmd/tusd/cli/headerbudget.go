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
	headBudget = 8 << 20  // bytes, for all large heads together
	freeHead   = 16 << 10 // bytes that each may take without being large
	lineCost   = 64       // bytes that a line takes beside its own
)

// heads watches the heads of requests: of HTTP/1.1 as they come in, of HTTP/2,
// whose requests share a connection, when they have come in. unreadBudget bounds
// those that come in there. The zero value is ready to use.
type heads struct {
	mu    sync.Mutex
	held  int64        // bytes, by large
	large []*largeHead // that which is large for the longest time first
}

// largeHead is a head that may be large.
type largeHead struct {
	end func() // ends its request

	// Guarded by heads.mu.
	cost  int64 // bytes; 0: it is not large
	ended bool  // the budget was used up
}

// charge holds cost bytes for l against the budget. 0 gives all back.
func (h *heads) charge(l *largeHead, cost int64) {
	for _, oldest := range h.update(l, cost) {
		oldest.end()
	}
}

// update is charge, but for ending those that it returns.
func (h *heads) update(l *largeHead, cost int64) (ended []*largeHead) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case l.ended:
		return nil
	case l.cost == 0 && cost > 0:
		h.large = append(h.large, l)
	case l.cost > 0 && cost == 0:
		h.large = slices.DeleteFunc(h.large, func(other *largeHead) bool { return other == l })
	}
	h.held += cost - l.cost
	l.cost = cost
	for h.held > headBudget && len(h.large) > 1 { // a single one is served, however large it may be
		oldest := h.large[0]
		h.large = h.large[1:]
		h.held -= oldest.cost
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

// headConn counts what it reads of heads of HTTP/1.1. TLS comes above it, so it
// cannot see where a head ends: it counts what comes with the head, too, until
// the handler begins.
type headConn struct {
	tcpConn
	heads *heads

	mu    sync.Mutex
	reads reading
	cost  int64 // bytes, of the head so far
	large bool  // head may be in heads.large
	head  largeHead
}

// reading is what comes over a headConn.
type reading int

const (
	readsHead reading = iota
	readsBody         // or nothing
	readsHTTP2
	readsNothing // it is closed
)

// http2Preface is how a connection of HTTP/2 begins if it has no TLS.
const http2Preface = "PRI "

// NetConn is for connOf.
func (c *headConn) NetConn() net.Conn { return c.tcpConn }

// Read implements net.Conn.
func (c *headConn) Read(p []byte) (int, error) {
	n, err := c.tcpConn.Read(p)
	if n > 0 {
		c.count(p[:n])
	}
	return n, err
}

func (c *headConn) count(read []byte) {
	c.note(func() {
		switch {
		case c.reads != readsHead:
		case c.cost == 0 && bytes.HasPrefix(read, []byte(http2Preface)):
			c.reads = readsHTTP2
		default:
			c.cost += int64(len(read) + lineCost*bytes.Count(read, []byte("\n")))
		}
	})
}

// Close implements net.Conn.
func (c *headConn) Close() error {
	c.note(func() { c.reads, c.cost = readsNothing, 0 })
	return c.tcpConn.Close()
}

// received notes that a head is complete, and what it takes.
func (c *headConn) received(cost int64) {
	c.note(func() {
		if c.reads == readsBody {
			c.cost = cost
		}
	})
}

// note changes reads and cost, and charges what the head takes then.
func (c *headConn) note(change func()) {
	c.mu.Lock()
	change()
	cost := c.cost
	if cost <= freeHead {
		cost = 0
	}
	var ended []*largeHead
	if cost > 0 || c.large {
		c.large = cost > 0
		ended = c.heads.update(&c.head, cost)
	}
	c.mu.Unlock()
	for _, oldest := range ended {
		oldest.end()
	}
}

// follow is for the ConnState of a server.
func (h *heads) follow(conn net.Conn, state http.ConnState) {
	if state != http.StateActive && state != http.StateIdle {
		return
	}
	next := readsHead
	if state == http.StateActive {
		next = readsBody
	}
	if secure, ok := conn.(*tls.Conn); ok && secure.ConnectionState().NegotiatedProtocol == "h2" {
		next = readsHTTP2
	}
	if c, ok := connOf[*headConn](conn); ok {
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

// guard returns a listener whose connections are watched.
func (h *heads) guard(inner net.Listener) net.Listener { return headListener{inner, h} }

type headListener struct {
	net.Listener
	heads *heads
}

func (l headListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(tcpConn); ok && err == nil {
		c := &headConn{tcpConn: tcp, heads: l.heads}
		c.head.end = func() { tcp.Close() } // which ends its request, if there is one already
		return c, nil
	}
	return conn, err
}

type headConnKey struct{}

// withHeadConn puts the connection of a request into its context.
func withHeadConn(ctx context.Context, conn net.Conn) context.Context {
	if head, ok := connOf[*headConn](conn); ok {
		return context.WithValue(ctx, headConnKey{}, head)
	}
	return ctx
}

// bound returns a handler whose requests are counted with what their heads take.
// A connection of HTTP/2 that had a large head ends with the streams that it has:
// while it lives, package hpack keeps a buffer for it that is three times as
// large.
func (h *heads) bound(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cost := headCost(r)
		conn, ok := r.Context().Value(headConnKey{}).(*headConn)
		switch {
		case r.ProtoMajor == 1 && ok:
			conn.received(cost)
		case r.ProtoMajor == 2 && cost > freeHead:
			w.Header().Set("Connection", "close")
			stream := &largeStream{w: w}
			head := &largeHead{end: stream.reset}
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

// headCost is what the head of a request takes.
func headCost(r *http.Request) int64 {
	n := len(r.RequestURI) + len(r.Host)
	for name, values := range r.Header {
		for _, value := range values {
			n += len(name) + len(value) + lineCost
		}
	}
	return int64(n)
}
