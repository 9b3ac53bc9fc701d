package lockservices

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Link forwards TCP connections to a service, as the network of one node does. Its
// methods may be called by any goroutine.
type Link struct {
	listener net.Listener
	target   string
	ended    chan struct{} // closed at the end of the test
	running  sync.WaitGroup

	mu       sync.Mutex
	restored chan struct{} // closed while the link forwards
	conns    map[net.Conn]struct{}
}

// NewLink forwards connections to addr (host:port) until the test ends.
func NewLink(tb testing.TB, addr string) *Link {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	l := &Link{listener: listener, target: addr, ended: make(chan struct{}), restored: make(chan struct{}), conns: make(map[net.Conn]struct{})}
	close(l.restored)
	l.running.Go(l.accept)
	tb.Cleanup(l.close)
	return l
}

// Addr returns the address that clients connect to: host:port.
func (l *Link) Addr() string { return l.listener.Addr().String() }

// Cut stops forwarding, as a network that drops packets: connections stay open, new ones
// are accepted, and nothing arrives at the other end, also no close.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.restored:
		l.restored = make(chan struct{})
	default: // cut already
	}
}

// Restore forwards again, first what was sent meanwhile.
func (l *Link) Restore() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.restored:
	default:
		close(l.restored)
	}
}

// await returns when the link forwards. It reports false at the end of the test.
func (l *Link) await() bool {
	l.mu.Lock()
	restored := l.restored
	l.mu.Unlock()
	select {
	case <-restored:
		return true
	case <-l.ended:
		return false
	}
}

func (l *Link) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.running.Go(func() { l.serve(client) })
	}
}

// serve forwards one connection, both ways.
func (l *Link) serve(client net.Conn) {
	defer l.track(client)()
	if !l.await() {
		return
	}
	service, err := net.Dial("tcp", l.target)
	if err != nil {
		return // the connection of the client is closed
	}
	defer l.track(service)()
	var answers sync.WaitGroup
	answers.Go(func() { l.forward(client, service) })
	l.forward(service, client)
	answers.Wait()
}

// forward copies until from ends, and then closes both.
func (l *Link) forward(to, from net.Conn) {
	io.Copy(gate{l, to}, from)
	if l.await() {
		to.Close()
		from.Close()
	}
}

// gate writes only while the link forwards.
type gate struct {
	link *Link
	conn net.Conn
}

func (g gate) Write(p []byte) (int, error) {
	if !g.link.await() {
		return 0, net.ErrClosed
	}
	return g.conn.Write(p)
}

// track lets close end the connection. release closes and forgets it.
func (l *Link) track(conn net.Conn) (release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[conn] = struct{}{}
	select {
	case <-l.ended:
		conn.Close()
	default:
	}
	return func() {
		conn.Close()
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.conns, conn)
	}
}

func (l *Link) close() {
	l.listener.Close()
	l.mu.Lock()
	close(l.ended)
	for conn := range l.conns {
		conn.Close()
	}
	l.mu.Unlock()
	l.running.Wait()
}
