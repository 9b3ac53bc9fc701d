package cli

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

// openConnections knows the connections of a server, and which of them have
// not brought a whole request yet: follow is for its ConnState.
type openConnections struct {
	mu     sync.Mutex
	n      int
	closed int64                  // since the start
	silent map[net.Conn]time.Time // when they were accepted
	ending bool
}

// firstRequestTimeout is how long a connection may take to bring its first request
// when the server is about to end. Shutdown of net/http gives it five seconds,
// which every connection that a browser opens ahead or a health check leaves
// open would add to a restart.
const firstRequestTimeout = 250 * time.Millisecond

func (c *openConnections) follow(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state == http.StateNew {
		c.add(conn)
		return
	}
	delete(c.silent, conn) // the header of a request is there, or all is over
	if state == http.StateClosed || state == http.StateHijacked {
		c.n--
		c.closed++
	}
}

// ended is how many connections have ended since the start.
func (c *openConnections) ended() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// add takes a new connection in. The caller holds mu.
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

// closeAllSilent closes the connections that have had the time for a first
// request and did not bring one; the others when they have had it.
func (c *openConnections) closeAllSilent() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ending = true
	for conn, since := range c.silent {
		time.AfterFunc(time.Until(since.Add(firstRequestTimeout)), func() { c.closeSilent(conn) })
	}
}

// closeSilent closes conn, unless a request has come meanwhile. It holds mu
// until that is done, so that none begins between.
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
