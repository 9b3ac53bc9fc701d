package cli

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

// openConnections are the connections of a server, and those of them that have
// not sent a whole request yet. follow is for the server's ConnState.
type openConnections struct {
	mu     sync.Mutex
	n      int
	closed int64                  // how many, since the start
	silent map[net.Conn]time.Time // without a request yet; the time of Accept
	ending bool
}

// firstRequestTimeout bounds the time of a connection for its first request during a
// shutdown. Shutdown of net/http would wait five seconds, at every restart: browsers open
// connections in advance, and health checks leave some open.
const firstRequestTimeout = 250 * time.Millisecond

func (c *openConnections) follow(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state == http.StateNew {
		c.add(conn)
		return
	}
	delete(c.silent, conn) // a header has come, or the connection is closed
	if state == http.StateClosed || state == http.StateHijacked {
		c.n--
		c.closed++
	}
}

// ended returns how many connections have ended since the start.
func (c *openConnections) ended() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// add adds a new connection. The caller holds mu.
func (c *openConnections) add(conn net.Conn) {
	c.n++
	if c.silent == nil {
		c.silent = make(map[net.Conn]time.Time)
	}
	c.silent[conn] = time.Now()
	if c.ending { // it was accepted just before the listener was closed
		time.AfterFunc(firstRequestTimeout, func() { c.closeSilent(conn) })
	}
}

// closeAllSilent closes the connections that have sent no request, each when
// firstRequestTimeout has passed for it.
func (c *openConnections) closeAllSilent() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ending = true
	for conn, since := range c.silent {
		time.AfterFunc(time.Until(since.Add(firstRequestTimeout)), func() { c.closeSilent(conn) })
	}
}

// closeSilent closes conn, unless a request has come meanwhile. It holds mu
// while it closes, so that none begins in between.
func (c *openConnections) closeSilent(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, silent := c.silent[conn]; !silent {
		return
	}
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn() // without the alert that ends TLS, which could block
	}
	conn.Close()
}

func (c *openConnections) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}
