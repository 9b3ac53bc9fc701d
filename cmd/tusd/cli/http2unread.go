package cli

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// net/http keeps in memory what an HTTP/2 client has sent and the handler has
// not read yet: up to the window of a stream, and of streams that were reset
// until their handlers end. A window cannot be made smaller later. So the
// content is bounded below HTTP/2: while all connections together hold too much
// of it, a connection that holds much is not read from. Its bytes wait in the
// kernel then, and after that at the client, as they do over HTTP/1.1. The same
// holds for a head that has begun and does not end.
const (
	// unreadShare is what each connection may hold in any case, in bytes. A
	// connection whose handlers read on never holds more for long, so it is not
	// slowed down by others.
	unreadShare = 32 << 10
	// headerShare is the same for a head that has not ended.
	headerShare = 16 << 10
	// unreadTotal is what all connections may hold together beyond their shares.
	unreadTotal = 16 << 20
)

// unreadBudget bounds the unread content of all HTTP/2 connections. The zero
// value is ready to use.
type unreadBudget struct {
	used       atomic.Int64  // bytes, beyond the shares
	headerTime time.Duration // 0: that of the package
}

// attach has the handler of server counted. The server gets its connections
// from a listener of b.
func (b *unreadBudget) attach(server *http.Server) {
	server.Handler, server.ConnContext = b.handler(server.Handler), withUnreadConn
}

// listener returns a listener whose connections are counted. TLS comes above it.
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

// withUnreadConn puts the connection of a request into its context.
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
