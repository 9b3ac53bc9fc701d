package cli

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// connectionLimit bounds how many connections one client may have open, so
// that none takes the descriptors that all need. Proxies have connections of
// many clients and are exempt, as are addresses of private networks, which may
// be proxies or gateways.
type connectionLimit struct {
	max      int                           // 0: no limit
	client   func(netip.Addr) netip.Prefix // whom an address counts for; not valid: nobody
	refused  *atomic.Uint64                // connections so far
	farewell chan struct{}                 // a place for each that is being told so
	log      *slog.Logger

	mu     sync.Mutex
	open   map[netip.Prefix]int
	logged map[netip.Prefix]bool // clients of open whose refusal is in the log
}

// farewells is how many refused connections are told why at the same time;
// others are just closed.
const farewells = 64

// newConnectionLimit counts in refused what it refuses.
func newConnectionLimit(max int, client func(netip.Addr) netip.Prefix, refused *atomic.Uint64, log *slog.Logger) *connectionLimit {
	return &connectionLimit{
		max: max, client: client, refused: refused,
		farewell: make(chan struct{}, farewells), log: log,
		open: make(map[netip.Prefix]int), logged: make(map[netip.Prefix]bool),
	}
}

// guard returns a listener that accepts what inner does, but for connections
// beyond the limit, which it refuses.
func (l *connectionLimit) guard(inner net.Listener, refuse func(*net.TCPConn)) net.Listener {
	if l.max == 0 {
		return inner
	}
	return &guarded{Listener: inner, limit: l, refuse: refuse}
}

type guarded struct {
	net.Listener
	limit  *connectionLimit
	refuse func(*net.TCPConn)
}

func (g *guarded) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		tcp, ok := conn.(*net.TCPConn)
		if err != nil || !ok {
			return conn, err
		}
		client := g.limit.client(tcp.RemoteAddr().(*net.TCPAddr).AddrPort().Addr())
		switch {
		case !client.IsValid():
			return tcp, nil
		case g.limit.enter(client):
			return &countedConn{TCPConn: tcp, leave: sync.OnceFunc(func() { g.limit.leave(client) })}, nil
		}
		g.limit.tell(client)
		g.limit.dismiss(tcp, g.refuse)
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

// tell counts a refusal. The log has one line for each client that meets the
// limit, until it has closed all its connections: a line for each refusal
// would be one more thing that it can fill.
func (l *connectionLimit) tell(client netip.Prefix) {
	l.refused.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[client] > 0 && !l.logged[client] {
		l.logged[client] = true
		l.log.Info("a client has as many connections open as it may, further ones are refused", "client", client)
	}
}

// dismiss ends a connection by way of refuse, if there is a place for that.
func (l *connectionLimit) dismiss(conn *net.TCPConn, refuse func(*net.TCPConn)) {
	select {
	case l.farewell <- struct{}{}:
		go func() {
			defer func() { <-l.farewell }()
			refuse(conn)
		}()
	default:
		conn.Close()
	}
}

// countedConn is a connection that counts. It has the methods of a
// TCPConn, by which net/http sends files without copying them.
type countedConn struct {
	*net.TCPConn
	leave func()
}

func (c *countedConn) Close() error {
	c.leave()
	return c.TCPConn.Close()
}

// farewell is a server for connections that are refused: it answers the first
// request of each and closes it.
type farewell struct {
	server *http.Server
	conns  chan *lastConn
	closed chan struct{}
}

// dismissal is the time for a request that is refused.
const dismissal = 2 * time.Second

// newFarewell starts one, which runs until close. refuse answers.
func newFarewell(refuse http.HandlerFunc, cfg config, log *slog.Logger) *farewell {
	f := &farewell{server: newServer(cfg, refuse, log), conns: make(chan *lastConn), closed: make(chan struct{})}
	f.server.ReadHeaderTimeout = dismissal
	f.server.Protocols = nil // HTTP/1.1
	f.server.SetKeepAlivesEnabled(false)
	go f.server.Serve(f)
	return f
}

func (f *farewell) close() { f.server.Close() }

// Accept, Close and Addr make it the listener of its server.
func (f *farewell) Accept() (net.Conn, error) {
	select {
	case conn := <-f.conns:
		return conn, nil
	case <-f.closed:
		return nil, net.ErrClosed
	}
}

func (f *farewell) Close() error {
	close(f.closed)
	return nil
}

func (f *farewell) Addr() net.Addr { return &net.TCPAddr{} }

// refuse has conn answered, without TLS, and returns when it is closed.
func (f *farewell) refuse(conn *net.TCPConn) {
	last := &lastConn{TCPConn: conn, closed: make(chan struct{})}
	select {
	case f.conns <- last:
		<-last.closed
	case <-f.closed:
		conn.Close()
	}
}

// lastConn tells when it is closed.
type lastConn struct {
	*net.TCPConn
	once   sync.Once
	closed chan struct{}
}

func (c *lastConn) Close() error {
	defer c.once.Do(func() { close(c.closed) })
	return c.TCPConn.Close()
}

// refuseTLS only closes: a handshake for a refusal would cost more than it is
// worth, and clients try again.
func refuseTLS(conn *net.TCPConn) { conn.Close() }
