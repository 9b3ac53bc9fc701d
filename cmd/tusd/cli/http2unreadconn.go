package cli

import (
	"cmp"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// unreadConn is a connection that counts the bytes that have arrived and that
// no handler has read. It cannot tell content from other bytes, such as the
// headers of frames. So it counts too many rather than too few, and corrects
// the count when a Read of a body shows that no content is left for it.
type unreadConn struct {
	net.Conn
	budget *unreadBudget
	wake   chan struct{} // capacity 1: a handler has read something
	closed chan struct{}
	http1  atomic.Bool // nothing is counted: net/http reads only when the handler does

	mu               sync.Mutex
	requests         []context.Context // of requests that are being served
	bodies           []*unreadBody
	received         int64 // bytes from the network
	last             time.Time
	unread           int64     // bytes, at most
	header           int64     // bytes of unread that may be a header that has not ended
	headerSince      time.Time // when header began to grow; zero: header is 0
	recent           recentBytes
	shared           int64 // bytes of unread that count in budget.used
	isClosed         bool
	recount          *time.Timer // runs recounting; nil: not needed so far
	recountScheduled bool        // recount will run
}

func newUnreadConn(conn net.Conn, budget *unreadBudget) *unreadConn {
	return &unreadConn{Conn: conn, budget: budget, wake: make(chan struct{}, 1), closed: make(chan struct{})}
}

// unreadBody is the content of a request.
type unreadBody struct {
	io.ReadCloser
	conn *unreadConn

	// Guarded by conn.mu.
	readUpTo int64     // handlers have read everything before this number of bytes
	since    time.Time // when the current Read began; zero: there is none
}

// NetConn is for connOf.
func (c *unreadConn) NetConn() net.Conn { return c.Conn }

// Read implements net.Conn.
func (c *unreadConn) Read(p []byte) (int, error) {
	if c.http1.Load() {
		return c.Conn.Read(p)
	}
	c.awaitBudget()
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isClosed { // no handler reads these bytes
		return n, err
	}
	c.received += int64(n)
	c.unread += int64(n)
	c.last = time.Now()
	c.recent.add(int64(n), c.last)
	c.header = min(c.header+int64(n), largestHeader)
	if c.headerSince.IsZero() {
		c.headerSince = c.last
	}
	c.updateUsed()
	c.scheduleRecount()
	return n, err
}

// scheduleRecount makes recounting run soon: nothing more may arrive, and the
// bytes that have arrived may be for no handler. The caller holds c.mu.
func (c *unreadConn) scheduleRecount() {
	switch {
	case c.recountScheduled || c.shared == 0 || c.isClosed:
		return
	case c.recount == nil:
		c.recount = time.AfterFunc(2*emptyAfter, c.recounting)
	default:
		c.recount.Reset(2 * emptyAfter)
	}
	c.recountScheduled = true
}

func (c *unreadConn) recounting() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recountScheduled = false
	c.noteEmpty()
	c.updateUsed()
	c.scheduleRecount()
}

// awaitBudget returns when the connection may be read from, or is closed.
func (c *unreadConn) awaitBudget() {
	if c.mayRead() {
		return
	}
	look := time.NewTimer(minPollInterval)
	defer look.Stop()
	for next := minPollInterval; !c.mayRead(); {
		select {
		case <-c.wake:
		case <-c.closed:
			return
		case <-look.C:
			next = min(2*next, maxPollInterval)
			look.Reset(next)
		}
	}
}

// mayRead reports whether the budget allows to read from the connection.
func (c *unreadConn) mayRead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shared > 0 {
		c.noteEmpty()
		c.updateUsed()
	}
	return c.isClosed || c.shared == 0 || c.budget.used.Load() < unreadTotal
}

// noteEmpty finds bodies that wait although no content is on its way to them.
// The caller holds c.mu.
func (c *unreadConn) noteEmpty() {
	now := time.Now()
	if now.Sub(c.last) < emptyAfter {
		return
	}
	if now.Sub(c.headerSince) >= cmp.Or(c.budget.headerTime, headerTime) {
		c.headerEnded()
	}
	if len(c.bodies) == 0 {
		c.clear()
	}
	for _, b := range c.bodies {
		if !b.since.IsZero() && now.Sub(b.since) >= emptyAfter {
			b.readUpTo = c.received
		}
	}
}

// updateUsed updates unread, and the part of it that the budget counts. The
// caller holds c.mu.
func (c *unreadConn) updateUsed() {
	c.unread = min(c.unread, c.maxUnread())
	shared := max(0, c.unread-unreadShare, c.header-headerShare)
	c.budget.used.Add(shared - c.shared)
	c.shared = shared
}

// maxUnread returns how many bytes can be unread at most. A closed connection
// buffers only what its running handlers have not read. The caller holds c.mu.
func (c *unreadConn) maxUnread() int64 {
	switch {
	case c.isClosed && len(c.bodies) == 0:
		return 0
	case !c.isClosed && (c.handlersWait() || len(c.bodies) == 0):
		return c.unread // a handler that reads it may still begin
	}
	oldest := c.received
	for _, b := range c.bodies {
		oldest = min(oldest, b.readUpTo)
	}
	return max(c.received-oldest, c.header)
}

// handlersWait reports whether there may be requests whose handlers begin only
// when others end: net/http refuses streams beyond maxStreams, unless a stream
// is reset whose handler still runs. The caller holds c.mu.
func (c *unreadConn) handlersWait() bool {
	return len(c.requests) >= maxStreams &&
		slices.ContainsFunc(c.requests, func(ctx context.Context) bool { return ctx.Err() != nil })
}

// clear sets unread to 0, but for a header, if no handler waits to begin. The
// caller holds c.mu.
func (c *unreadConn) clear() {
	if !c.handlersWait() {
		c.unread = min(c.unread, c.header)
	}
}

// headerEnded notes that no header is arriving. The caller holds c.mu.
func (c *unreadConn) headerEnded() { c.header, c.headerSince = 0, time.Time{} }

// explained notes that n bytes were the header of a request, or content.
// Neither can come inside another header, so the bytes before them were no
// header that has not ended. Bytes after them may be one: a handler may begin,
// or read, late. The caller holds c.mu.
func (c *unreadConn) explained(n int64) {
	if c.header = min(c.header-n, c.recent.bytes(time.Now())); c.header <= 0 {
		c.headerEnded()
	}
}

// withFrames returns the most bytes that carry n bytes of content.
func withFrames(n int64) int64 {
	const overhead, least = 8, 512 // one in overhead bytes is of frames and TLS, and least at the beginning
	return n + n/overhead + least
}

// recentBytes counts the bytes of the last lateHandler to 2*lateHandler.
type recentBytes struct {
	since       time.Time // when now began
	now, before int64
}

func (r *recentBytes) add(n int64, at time.Time) {
	r.turn(at)
	r.now += n
}

func (r *recentBytes) bytes(at time.Time) int64 {
	r.turn(at)
	return r.now + r.before
}

func (r *recentBytes) turn(at time.Time) {
	switch age := at.Sub(r.since); {
	case age >= 2*lateHandler:
		*r = recentBytes{since: at}
	case age >= lateHandler:
		*r = recentBytes{since: at, before: r.now}
	}
}

// ignore ends the counting.
func (c *unreadConn) ignore() {
	c.http1.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unread = 0
	c.headerEnded()
	c.updateUsed()
}

// begin adds a request and returns its content, nil if it has none. end removes
// both.
func (c *unreadConn) begin(r *http.Request) *unreadBody {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, r.Context())
	c.explained(withFrames(headerCost(r)))
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	body := &unreadBody{ReadCloser: r.Body, conn: c, readUpTo: c.received - c.unread}
	r.Body = body
	c.bodies = append(c.bodies, body)
	return body
}

func (c *unreadConn) end(ctx context.Context, body *unreadBody) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.requests, ctx); i >= 0 {
		c.requests = slices.Delete(c.requests, i, i+1)
	}
	if i := slices.Index(c.bodies, body); i >= 0 {
		c.bodies = slices.Delete(c.bodies, i, i+1)
	}
	if len(c.bodies) == 0 {
		c.clear()
	}
	c.updateUsedAndWake()
}

// updateUsedAndWake is updateUsed after a change that may allow to read. The
// caller holds c.mu.
func (c *unreadConn) updateUsedAndWake() {
	c.updateUsed()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Read implements io.Reader.
func (b *unreadBody) Read(p []byte) (int, error) {
	before := b.begin()
	n, err := b.ReadCloser.Read(p)
	c := b.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	b.since = time.Time{}
	c.unread = max(0, c.unread-int64(n))
	if n > 0 {
		c.explained(withFrames(int64(n)))
	}
	if n < len(p) || err != nil { // it has read everything that was buffered
		b.readUpTo = max(b.readUpTo, before)
	}
	c.updateUsedAndWake()
	return n, err
}

// begin notes that a Read begins, and returns how many bytes have arrived.
func (b *unreadBody) begin() int64 {
	b.conn.mu.Lock()
	defer b.conn.mu.Unlock()
	b.since = time.Now()
	return b.conn.received
}

// Write implements net.Conn. Clients acknowledge what they get, and answer
// pings of the server: these bytes are no header.
func (c *unreadConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.http1.Load() {
		return n, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.header -= confirmed(int64(n)); c.header <= 0 {
		c.headerEnded()
	}
	return n, err
}

// confirmed returns how many bytes a client may have sent to acknowledge a
// write of n bytes.
func confirmed(n int64) int64 {
	const (
		largestAnswer = 64 // bytes: of a PING in a record of TLS
		confirmation  = 32 // bytes that the client confirms with one
	)
	if n <= largestAnswer {
		return n
	}
	return n / confirmation
}

// Close implements net.Conn.
func (c *unreadConn) Close() error {
	c.mu.Lock()
	if !c.isClosed {
		c.isClosed = true
		c.headerEnded()
		close(c.closed)
		c.updateUsed()
	}
	c.mu.Unlock()
	return c.Conn.Close()
}

// ReadFrom lets net/http send files without copying them, if Conn can.
func (c *unreadConn) ReadFrom(src io.Reader) (int64, error) {
	if to, ok := c.Conn.(io.ReaderFrom); ok {
		return to.ReadFrom(src)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, src)
}

// CloseWrite lets net/http end its side of a connection first, if Conn can.
func (c *unreadConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// How often a connection that must not be read from polls the budget.
const (
	minPollInterval = 10 * time.Millisecond
	maxPollInterval = 160 * time.Millisecond
)

// emptyAfter is how long the Read of a body waits, while nothing arrives from
// the network, until it is certain that nothing is left for it.
const emptyAfter = 50 * time.Millisecond

// lateHandler is how late after its request a handler may begin, or may read
// content that came with the request.
const lateHandler = 100 * time.Millisecond

// headerTime is longer than a client of HTTP/2 can be in the middle of a
// header: it must answer a PING in that time.
const headerTime = pingAfter + pingTimeout + 5*time.Second

// largestHeader is more bytes than a header may have. Bytes beyond it without a
// request are content of streams that have ended.
const largestHeader = 512 << 10
