package cli

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// http2Idle closes connections of HTTP/2 that wait too long for their next
// request. net/http has a timer for that, too, but starts it once more when a
// connection ends with streams open: so it keeps the whole connection in memory
// until the timer fires, 13 KiB for a minute each, and clients can come and go
// by the thousand each second.
type http2Idle struct {
	limit time.Duration
	mu    sync.Mutex
	conns map[net.Conn]*idleConn
}

// idleConn is what is known of a connection. A connection of HTTP/2 is idle
// before its first request; one of HTTP/1 is not, and http1 is set then.
type idleConn struct {
	http1 atomic.Bool
	timer *time.Timer // guarded by http2Idle.mu, as is waits
	waits bool
}

type idleConnKey struct{}

// limitHTTP2Idle has server close the connections of HTTP/2 that are idle for
// its IdleTimeout. Those of HTTP/1 remain the business of net/http. It is
// called when server has its other functions, and before it serves.
func limitHTTP2Idle(server *http.Server) {
	h := &http2Idle{limit: server.IdleTimeout, conns: make(map[net.Conn]*idleConn)}
	h.hideLimit(server)
	next, connState, connContext := server.Handler, server.ConnState, server.ConnContext
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(idleConnKey{}).(*idleConn); ok && r.ProtoMajor == 1 {
			c.http1.Store(true)
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

// hideLimit keeps HTTP/2 from seeing the IdleTimeout, which it takes over when
// the server begins to serve, just before BaseContext. HTTP/1 reads it for each
// connection. A negative one is none.
func (h *http2Idle) hideLimit(server *http.Server) {
	server.IdleTimeout = -1
	reveal := sync.OnceFunc(func() { server.IdleTimeout = h.limit })
	server.BaseContext = func(net.Listener) context.Context {
		reveal()
		return context.Background()
	}
}

func (h *http2Idle) add(conn net.Conn) *idleConn {
	c := new(idleConn)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns[conn] = c
	return c
}

func (h *http2Idle) follow(conn net.Conn, state http.ConnState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.conns[conn]
	if c == nil || c.http1.Load() && state != http.StateClosed && state != http.StateHijacked {
		return
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	c.waits = state == http.StateIdle
	switch {
	case state == http.StateClosed || state == http.StateHijacked:
		delete(h.conns, conn)
	case c.waits && c.timer != nil:
		c.timer.Reset(h.limit)
	case c.waits:
		c.timer = time.AfterFunc(h.limit, func() { h.expire(conn, c) })
	}
}

func (h *http2Idle) expire(conn net.Conn, c *idleConn) {
	h.mu.Lock()
	waits := c.waits
	h.mu.Unlock()
	if waits {
		conn.Close()
	}
}
