package cli

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// connectionLimit bounds how many connections one client may have open, so that
// no client uses up the descriptors that all need. Proxies have connections of
// many clients and are exempt, as are addresses of private networks, which may
// be proxies or gateways.
//
// A connection beyond the limit is accepted all the same, for one request, which
// the server answers with the refusal.
type connectionLimit struct {
	max      int                           // 0: no limit
	client   func(netip.Addr) netip.Prefix // returns the client that an address counts for; not valid: it is exempt
	refused  *atomic.Uint64                // connections so far
	refusals chan struct{}                 // has an element for each refused connection that is open
	log      *slog.Logger

	mu     sync.Mutex
	open   map[netip.Prefix]int
	logged map[netip.Prefix]bool // clients of open whose refusal is in the log
}

const (
	// maxRefusals is how many refused connections are open at the same time.
	// Others are closed without an answer.
	maxRefusals = 64
	// refusalTimeout is how long a refused connection may take for its request; of
	// HTTP/2, for the answer, too.
	refusalTimeout = 2 * time.Second
)

// newConnectionLimit returns a limit that counts its refusals in refused.
func newConnectionLimit(max int, client func(netip.Addr) netip.Prefix, refused *atomic.Uint64, log *slog.Logger) *connectionLimit {
	return &connectionLimit{
		max: max, client: client, refused: refused,
		refusals: make(chan struct{}, maxRefusals), log: log,
		open: make(map[netip.Prefix]int), logged: make(map[netip.Prefix]bool),
	}
}

// listener returns a listener that counts the connections of inner. answered
// says that connections beyond the limit get an answer. Those with TLS do not:
// a handshake costs more than a refusal is worth, and clients try again.
func (l *connectionLimit) listener(inner net.Listener, answered bool) net.Listener {
	if l.max == 0 {
		return inner
	}
	return &limitedListener{Listener: inner, limit: l, answered: answered}
}

type limitedListener struct {
	net.Listener
	limit    *connectionLimit
	answered bool
}

// Accept implements net.Listener.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		tcp, ok := conn.(*net.TCPConn)
		if err != nil || !ok {
			return conn, err
		}
		client := l.limit.client(tcp.RemoteAddr().(*net.TCPAddr).AddrPort().Addr())
		switch {
		case !client.IsValid():
			return tcp, nil
		case l.limit.enter(client):
			return &countedConn{TCPConn: tcp, leave: sync.OnceFunc(func() { l.limit.leave(client) })}, nil
		}
		l.limit.countRefusal(client)
		if l.answered && l.limit.reserveRefusal() {
			return &countedConn{TCPConn: tcp, refused: true, leave: sync.OnceFunc(l.limit.releaseRefusal)}, nil
		}
		tcp.Close()
	}
}

func (l *connectionLimit) enter(client netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[client] >= l.max {
		return false
	}
	l.open[client]++
	return true
}

func (l *connectionLimit) leave(client netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[client]--; l.open[client] == 0 {
		delete(l.open, client)
		delete(l.logged, client)
	}
}

// reserveRefusal reports whether one more refused connection may be open.
func (l *connectionLimit) reserveRefusal() bool {
	select {
	case l.refusals <- struct{}{}:
		return true
	default:
		return false
	}
}

func (l *connectionLimit) releaseRefusal() { <-l.refusals }

// countRefusal counts a refusal. The log gets one line for each client that
// meets the limit, until the client has closed all its connections: a line for
// each refusal would let clients fill the log.
func (l *connectionLimit) countRefusal(client netip.Prefix) {
	l.refused.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[client] > 0 && !l.logged[client] {
		l.logged[client] = true
		l.log.Info("a client has reached -max-connections-per-client: its further connections are refused", "client", client)
	}
}

// countedConn is a connection that is counted. It has the methods of a TCPConn,
// by which net/http sends files without copying them.
type countedConn struct {
	*net.TCPConn
	refused bool // it is beyond the limit
	leave   func()
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	c.leave()
	return c.TCPConn.Close()
}

// refusalKey has, in the context of a refused connection, the timer that closes
// it after refusalTimeout.
type refusalKey struct{}

// withRefusal is for the ConnContext of a server.
func withRefusal(ctx context.Context, conn net.Conn) context.Context {
	if c, ok := connOf[*countedConn](conn); ok && c.refused {
		return context.WithValue(ctx, refusalKey{}, time.AfterFunc(refusalTimeout, func() { conn.Close() }))
	}
	return ctx
}

// handler returns a handler that answers requests over refused connections by
// refuse, and others by next. The server has withRefusal in its ConnContext.
func (l *connectionLimit) handler(refuse http.HandlerFunc, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		timer, refused := r.Context().Value(refusalKey{}).(*time.Timer)
		if !refused {
			next.ServeHTTP(w, r)
			return
		}
		if r.ProtoMajor == 1 {
			timer.Stop() // the deadlines of the request bound the rest
		} // a client of HTTP/2 could take no answer, and keep the connection
		w.Header().Set("Connection", "close")
		refuse(w, r)
	})
}
