package cli

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// net/http buffers what an HTTP/2 client has sent and the handler has not read
// yet: up to the window of a stream, also of streams that were reset, until
// their handlers end. A window cannot be made smaller later. So unread content
// is bounded below HTTP/2: while all connections together buffer too much, a
// connection that buffers much is not read from. Its bytes wait in the kernel
// and then at the client, as they do over HTTP/1.1. The same holds for headers
// that have begun and do not end.
const (
	// unreadShare is how many bytes each connection may buffer in any case. A
	// connection whose handlers keep reading never buffers more for long, so
	// others do not slow it down.
	unreadShare = 32 << 10
	// headerShare is the same for a header that has not ended.
	headerShare = 16 << 10
	// unreadTotal is how many bytes all connections may buffer beyond their shares.
	unreadTotal = 16 << 20
)

// unreadBudget bounds the unread content of all HTTP/2 connections. The zero
// value is ready to use.
type unreadBudget struct {
	used       atomic.Int64  // bytes, beyond the shares
	headerTime time.Duration // 0: the constant
}

// attach makes server use the budget. The server accepts from a listener of b.
func (b *unreadBudget) attach(server *http.Server) {
	server.Handler, server.ConnContext = b.handler(server.Handler), withUnreadConn
}

// listener returns a listener whose connections are counted. TLS is above it.
func (b *unreadBudget) listener(inner net.Listener) net.Listener { return unreadListener{inner, b} }

type unreadListener struct {
	net.Listener
	budget *unreadBudget
}

func (l unreadListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newUnreadConn(conn, l.budget), nil
}

type unreadConnKey struct{}

// withUnreadConn adds the connection of a request to its context.
func withUnreadConn(ctx context.Context, conn net.Conn) context.Context {
	if counted, ok := connOf[*unreadConn](conn); ok {
		return context.WithValue(ctx, unreadConnKey{}, counted)
	}
	return ctx
}

// handler returns a handler that counts what next reads.
func (b *unreadBudget) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, ok := r.Context().Value(unreadConnKey{}).(*unreadConn)
		switch {
		case ok && r.ProtoMajor == 2:
			body := conn.begin(r)
			defer conn.end(r.Context(), body)
		case ok && !conn.http1.Load():
			conn.ignore()
		}
		next.ServeHTTP(w, r)
	})
}
