package cli

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// http2Idle closes connections of HTTP/2 that wait too long for their next
// request. net/http has a timer for this, but starts it again when a connection
// ends with streams open. Then it keeps 13 KiB of the connection in memory
// until the timer fires a minute later, and clients can open thousands of
// connections in a second.
type http2Idle struct {
	limit time.Duration
	conns sync.Map // *idleConn by net.Conn, while it may be one of HTTP/2
}

// idleConn is a connection that may be one of HTTP/2.
type idleConn struct {
	net.Conn
	mu    sync.Mutex
	timer *time.Timer // nil: it has not been idle yet
	waits bool
}

type idleConnKey struct{}

// limitHTTP2Idle makes server close connections of HTTP/2 that are idle for its
// IdleTimeout. net/http does it for HTTP/1. Call it when the other functions of
// server are set, and before it serves.
func limitHTTP2Idle(server *http.Server) {
	h := &http2Idle{limit: server.IdleTimeout}
	h.hideLimit(server)
	next, connState, connContext := server.Handler, server.ConnState, server.ConnContext
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(idleConnKey{}).(*idleConn); ok && r.ProtoMajor == 1 {
			h.conns.Delete(c.Conn)
		}
		next.ServeHTTP(w, r)
	})
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		if connContext != nil {
			ctx = connContext(ctx, conn)
		}
		return context.WithValue(ctx, idleConnKey{}, h.add(conn))
	}
	server.ConnState = func(conn net.Conn, state http.ConnState) {
		if connState != nil {
			connState(conn, state)
		}
		h.follow(conn, state)
	}
}

// hideLimit hides the IdleTimeout from HTTP/2, which reads it once when the
// server begins to serve, just before BaseContext. HTTP/1 reads it for each
// connection. A negative IdleTimeout means none.
func (h *http2Idle) hideLimit(server *http.Server) {
	server.IdleTimeout = -1
	reveal := sync.OnceFunc(func() { server.IdleTimeout = h.limit })
	server.BaseContext = func(net.Listener) context.Context {
		reveal()
		return context.Background()
	}
}

func (h *http2Idle) add(conn net.Conn) *idleConn {
	c := &idleConn{Conn: conn}
	h.conns.Store(conn, c)
	return c
}

func (h *http2Idle) follow(conn net.Conn, state http.ConnState) {
	known, ok := h.conns.Load(conn)
	if !ok {
		return
	}
	if state == http.StateClosed || state == http.StateHijacked {
		h.conns.Delete(conn)
	}
	known.(*idleConn).follow(state, h.limit)
}

func (c *idleConn) follow(state http.ConnState, limit time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waits = state == http.StateIdle
	switch {
	case c.waits && c.timer == nil:
		c.timer = time.AfterFunc(limit, c.expire)
	case c.waits:
		c.timer.Reset(limit)
	case c.timer != nil:
		c.timer.Stop()
	}
}

func (c *idleConn) expire() {
	c.mu.Lock()
	waits := c.waits
	c.mu.Unlock()
	if waits {
		c.Close()
	}
}
