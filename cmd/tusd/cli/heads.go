package cli

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
)

// The head of a request is in memory from its first byte until the request has
// ended, and a client may take its time for both: a thousand connections, each
// with a head as large as is allowed, are hundreds of MiB. So large heads have
// a budget together. Beyond it the connection is closed whose head has been
// large for the longest time: honest ones are gone in an instant.
const (
	headBudget = 16 << 20 // for all large heads together
	freeHead   = 16 << 10 // what each may take without being large
	lineCost   = 64       // what a line takes beside its bytes
)

// heads watches the heads of requests of HTTP/1.1 as they come in, and is
// asked about those of HTTP/2, which share connections, when they have.
type heads struct {
	mu    sync.Mutex
	held  int64       // by large heads
	large []*headConn // with a large head, that which has it longest first
}

// tcpConn is what net/http uses of a connection.
type tcpConn interface {
	net.Conn
	io.ReaderFrom // sends files without copying them
	CloseWrite() error
}

// headConn counts what it reads of a head.
type headConn struct {
	tcpConn
	heads *heads
	past  atomic.Bool  // the head is complete: a body or nothing comes
	cost  atomic.Int64 // of the head so far

	charged int64 // guarded by heads.mu; 0: the head is not large
}

func (c *headConn) Read(p []byte) (int, error) {
	n, err := c.tcpConn.Read(p)
	if n > 0 && !c.past.Load() {
		added := int64(n + lineCost*bytes.Count(p[:n], []byte("\n")))
		if cost := c.cost.Add(added); cost > freeHead {
			c.heads.charge(c, cost)
		}
	}
	return n, err
}

func (c *headConn) Close() error {
	c.heads.release(c)
	return c.tcpConn.Close()
}

// charge holds c's head against the budget.
func (h *heads) charge(c *headConn, cost int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.charged == 0 {
		h.large = append(h.large, c)
	}
	h.held += cost - c.charged
	c.charged = cost
	for h.held > headBudget && len(h.large) > 0 {
		oldest := h.large[0]
		h.drop(oldest)
		oldest.tcpConn.Close() // ends its request, if there is one already
	}
}

// release takes c's head out of the budget.
func (h *heads) release(c *headConn) {
	if c.cost.Load() <= freeHead {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(c)
}

// drop is release. The caller holds mu.
func (h *heads) drop(c *headConn) {
	if i := slices.Index(h.large, c); i >= 0 {
		h.large = slices.Delete(h.large, i, i+1)
		h.held -= c.charged
		c.charged = 0
	}
}

// follow is for the ConnState of a server.
func (h *heads) follow(conn net.Conn, state http.ConnState) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	c, ok := conn.(*headConn)
	if !ok {
		return
	}
	switch state {
	case http.StateActive:
		c.past.Store(true)
	case http.StateIdle:
		h.release(c)
		c.cost.Store(0)
		c.past.Store(false)
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
		return &headConn{tcpConn: tcp, heads: l.heads}, nil
	}
	return conn, err
}

// bound returns a handler that refuses requests of HTTP/2 whose heads are large
// and beyond the budget. A connection that had a large head ends with the
// streams that it has: while it lives, package hpack keeps a buffer for it that
// is three times as large.
func (h *heads) bound(next http.Handler, refuse http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 {
			next.ServeHTTP(w, r)
			return
		}
		cost := headCost(r)
		if cost <= freeHead {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Connection", "close")
		if !h.enter(4 * cost) {
			refuse(w, r)
			return
		}
		defer h.leave(4 * cost)
		next.ServeHTTP(w, r)
	})
}

func (h *heads) enter(cost int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held+cost > headBudget {
		return false
	}
	h.held += cost
	return true
}

func (h *heads) leave(cost int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held -= cost
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
