package cli

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// connectionLimit bounds how many connections one client may have open, so
// that none takes the descriptors that all need. A client is an address, or,
// of IPv6, the /64 that one client usually has to itself.
//
// Proxies have connections of many clients and are exempt, as are addresses
// of private networks, which may be proxies or gateways.
type connectionLimit struct {
	max      int                   // 0: no limit
	exempt   func(netip.Addr) bool // who has no limit
	refused  *atomic.Uint64        // connections so far
	farewell chan struct{}         // a place for each that is being told so
	log      *slog.Logger

	mu     sync.Mutex
	open   map[netip.Prefix]int
	logged map[netip.Prefix]bool // clients of open whose refusal is in the log
}

// farewells is how many refused connections are told why at the same time;
// others are just closed.
const farewells = 64

// newConnectionLimit counts in refused what it refuses.
func newConnectionLimit(max int, l listening, refused *atomic.Uint64, log *slog.Logger) *connectionLimit {
	return &connectionLimit{
		max: max, exempt: l.mayBeProxy, refused: refused,
		farewell: make(chan struct{}, farewells), log: log,
		open: make(map[netip.Prefix]int), logged: make(map[netip.Prefix]bool),
	}
}

// mayBeProxy tells whether connections from addr may carry the requests of
// many clients.
func (l listening) mayBeProxy(addr netip.Addr) bool {
	if l.behindProxy || addr.IsLoopback() {
		return true
	}
	for _, network := range l.trustedProxies {
		if network.Contains(addr) {
			return true
		}
	}
	return addr.IsPrivate() || addr.IsLinkLocalUnicast()
}

// guard returns a listener that accepts what inner does, but for connections
// beyond the limit, which it refuses.
func (l *connectionLimit) guard(inner net.Listener, refuse func(net.Conn)) net.Listener {
	if l.max == 0 {
		return inner
	}
	return &guarded{Listener: inner, limit: l, refuse: refuse}
}

type guarded struct {
	net.Listener
	limit  *connectionLimit
	refuse func(net.Conn)
}

func (g *guarded) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		tcp, ok := conn.(*net.TCPConn)
		if err != nil || !ok {
			return conn, err
		}
		addr := tcp.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap().WithZone("")
		client := clientOf(addr)
		switch {
		case g.limit.exempt(addr):
			return tcp, nil
		case g.limit.enter(client):
			return &countedConn{TCPConn: tcp, leave: sync.OnceFunc(func() { g.limit.leave(client) })}, nil
		}
		g.limit.tell(client)
		g.limit.dismiss(tcp, g.refuse)
	}
}

func clientOf(addr netip.Addr) netip.Prefix {
	if addr.Is4() {
		return netip.PrefixFrom(addr, 32)
	}
	return netip.PrefixFrom(addr, 64).Masked()
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
		l.log.Warn("a client has as many connections open as it may, further ones are refused", "client", client)
	}
}

// dismiss ends a connection by way of refuse, if there is a place for that.
func (l *connectionLimit) dismiss(conn net.Conn, refuse func(net.Conn)) {
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

// dismissal is the time for an answer that is not more than a refusal.
const dismissal = 2 * time.Second

// refusePlain answers the first request of a connection without TLS, and
// closes it. What a client may read into the status is that of the handler
// for trouble that passes: on a HEAD, clients of tus throw their upload away
// for anything but 423.
func refusePlain(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(dismissal))
	r, err := http.ReadRequest(bufio.NewReader(io.LimitReader(conn, 16<<10)))
	if err != nil {
		return
	}
	status := http.StatusServiceUnavailable
	if r.Method == http.MethodHead && mayBeTusJS(r.Header) {
		status = http.StatusLocked
	}
	const reason = "this client has as many connections open as it may\n"
	fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nTus-Resumable: 1.0.0\r\nRetry-After: 5\r\nConnection: close\r\n"+
		"Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n", status, http.StatusText(status), len(reason))
	if r.Method != http.MethodHead {
		io.WriteString(conn, reason)
	}
	linger(conn)
}

// mayBeTusJS tells whether a request may come from tus-js-client, which speaks
// tus and the versions 5 and 6 of the draft, as Apple's URLSession also does.
func mayBeTusJS(header http.Header) bool {
	switch header.Get("Upload-Draft-Interop-Version") {
	case "":
		return true
	case "5", "6":
		return !strings.Contains(header.Get("User-Agent"), "CFNetwork/")
	}
	return false
}

// linger ends the sending and reads what is still coming for a while: closing
// a connection with unread data would take the answer from the client.
func linger(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		io.CopyN(io.Discard, conn, 256<<10)
	}
}

// refuseTLS only closes: a handshake for a refusal would cost more than it is
// worth, and clients try again.
func refuseTLS(conn net.Conn) { conn.Close() }
