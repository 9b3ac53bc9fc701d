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

// The header of a request is in memory from its first byte until the request
// ends, and a client may be slow with both: a thousand connections with the
// largest headers are hundreds of MiB. So all large headers share a budget. If
// it is exceeded, the request ends whose header has been large for the longest
// time: those of well-behaved clients are short-lived.
const (
	maxLargeHeaders = 8 << 20  // bytes, for all large headers together
	smallHeader     = 16 << 10 // bytes; a larger header is charged
	lineCost        = 64       // bytes of memory for a line, besides its text
)

// headerBudget bounds the memory of request headers: of HTTP/1.1 while they
// arrive, of HTTP/2, whose requests share a connection, when they are complete.
// unreadBudget bounds incomplete ones of HTTP/2. The zero value is ready to
// use.
type headerBudget struct {
	mu    sync.Mutex
	used  int64          // bytes, of large
	large []*largeHeader // in the order in which they became large
}

// largeHeader is a header that may be large.
type largeHeader struct {
	end func() // ends the request

	// Guarded by headerBudget.mu.
	cost  int64 // bytes; 0: it is not large
	ended bool  // by end
}

// charge sets the cost of l in bytes, and ends requests until the budget
// suffices. A cost of 0 releases everything.
func (h *headerBudget) charge(l *largeHeader, cost int64) {
	for _, oldest := range h.update(l, cost) {
		oldest.end()
	}
}

// update is charge, but returns the headers whose requests are to be ended.
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
	for h.used > maxLargeHeaders && len(h.large) > 1 { // a single one is served, however large
		oldest := h.large[0]
		h.large = h.large[1:]
		h.used -= oldest.cost
		oldest.cost, oldest.ended = 0, true
		ended = append(ended, oldest)
	}
	return ended
}

// tcpConn is the part of a connection that net/http uses.
type tcpConn interface {
	net.Conn
	io.ReaderFrom // sends files without copying them
	CloseWrite() error
}

// headerConn counts the bytes of headers of HTTP/1.1 that it reads. TLS is
// above it, so it cannot see where a header ends: until the handler begins it
// also counts content that comes with the header.
type headerConn struct {
	tcpConn
	budget *headerBudget

	mu     sync.Mutex
	reads  readState
	cost   int64 // bytes, of the header so far
	large  bool  // header may be in budget.large
	header largeHeader
}

// readState is what a headerConn reads at present.
type readState int

const (
	readsHeader readState = iota
	readsBody             // or waits for the handler
	readsHTTP2
	readsNothing // the connection is closed
)

// http2Preface begins a connection of HTTP/2 without TLS.
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

// received sets the cost of a header that is complete.
func (c *headerConn) received(cost int64) {
	c.note(func() {
		if c.reads == readsBody {
			c.cost = cost
		}
	})
}

// note calls change, which sets reads and cost, and charges the budget.
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

// listener returns a listener whose connections are counted.
func (h *headerBudget) listener(inner net.Listener) net.Listener { return headerListener{inner, h} }

type headerListener struct {
	net.Listener
	budget *headerBudget
}

func (l headerListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(tcpConn); ok && err == nil {
		c := &headerConn{tcpConn: tcp, budget: l.budget}
		c.header.end = func() { tcp.Close() } // which ends a running request, too
		return c, nil
	}
	return conn, err
}

type headerConnKey struct{}

// withHeaderConn adds the connection of a request to its context.
func withHeaderConn(ctx context.Context, conn net.Conn) context.Context {
	if header, ok := connOf[*headerConn](conn); ok {
		return context.WithValue(ctx, headerConnKey{}, header)
	}
	return ctx
}

// handler returns a handler that charges the budget for the header of each
// request. A connection of HTTP/2 that had a large header ends with its current
// streams: while it lives, package hpack keeps a buffer for it that is three
// times as large.
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
			header := &largeHeader{end: stream.reset}
			h.charge(header, 4*cost)
			defer h.charge(header, 0)
			defer stream.ended()
		}
		next.ServeHTTP(w, r)
	})
}

// largeStream is a request of HTTP/2 with a large header.
type largeStream struct {
	mu sync.Mutex
	w  http.ResponseWriter // nil: the request has ended
}

// reset ends the request: net/http resets a stream whose write deadline has
// passed.
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

// headerCost returns the memory that the header of a request takes, in bytes.
func headerCost(r *http.Request) int64 {
	n := len(r.RequestURI) + len(r.Host)
	for name, values := range r.Header {
		for _, value := range values {
			n += len(name) + len(value) + lineCost
		}
	}
	return int64(n)
}
