// Package guard bounds the cost of requests for a server's own pages:
// the number of concurrent requests, the time for a client to send and to read, and the
// time that a shutdown waits for them. It knows nothing of uploads.
package guard

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Guard returns handlers with bounds. New creates one.
type Guard struct {
	idle time.Duration

	mu      sync.Mutex
	running map[*exchange]struct{}
	closed  bool
}

// pageTime bounds the time for a client to read a page.
const pageTime = 10 * time.Second

// errShutdown ends running requests when the guard closes.
var errShutdown = errors.New("the server is shutting down")

// New returns a Guard. A client whose body, or whose reading of the answer,
// makes no progress for idle is cut off.
func New(idle time.Duration) *Guard {
	return &Guard{idle: idle, running: make(map[*exchange]struct{})}
}

// Page returns a handler for answers that are small and made quickly: next
// makes an answer in memory, and the client has a few seconds to read it. At
// most limit requests are served at the same time, also those whose client has
// disconnected. excess answers further ones, without content; nil: 503.
func (g *Guard) Page(limit int, next, excess http.Handler) http.Handler {
	idle := min(g.idle, pageTime/2)
	return g.limit(limit, excess, func(w http.ResponseWriter, r *http.Request) {
		x := g.begin(w, r, idle)
		defer x.end()
		page := page{header: x.Header()}
		next.ServeHTTP(&page, x.r)
		page.writeTo(x)
	})
}

// Stream is Page for answers that take long or are large: they are sent while
// they are made.
func (g *Guard) Stream(limit int, next http.Handler) http.Handler {
	return g.limit(limit, nil, func(w http.ResponseWriter, r *http.Request) {
		x := g.begin(w, r, g.idle)
		defer x.end()
		next.ServeHTTP(x, x.r)
	})
}

// limit returns a handler that serves at most limit requests at the same time.
func (g *Guard) limit(limit int, excess http.Handler, serve http.HandlerFunc) http.Handler {
	if excess == nil {
		excess = http.HandlerFunc(refuse)
	}
	places := make(chan struct{}, limit)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
			serve(w, r)
		default:
			x := g.begin(w, r, g.idle)
			defer x.end()
			x.deadlines.Hasten(errBusy)
			excess.ServeHTTP(x, x.r)
		}
	})
}

var errBusy = errors.New("too many requests are being served")

// refuse sends no content: a header needs no flow-control window in HTTP/2.
func refuse(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Retry-After", "1")
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusServiceUnavailable)
}

// Close ends the contexts of all running requests, and cuts the connections of
// clients that make no progress. Later requests are served if their clients are
// fast.
func (g *Guard) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for x := range g.running {
		x.cancel()
		x.deadlines.Hasten(errShutdown)
	}
}

func (g *Guard) begin(w http.ResponseWriter, r *http.Request, idle time.Duration) *exchange {
	ctx, cancel := context.WithCancel(r.Context())
	x := newExchange(w, r.WithContext(ctx), idle)
	x.guard, x.cancel = g, cancel
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running[x] = struct{}{}
	if g.closed {
		x.deadlines.Hasten(errShutdown)
	}
	return x
}

func (g *Guard) remove(x *exchange) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.running, x)
}

// page is an answer in memory.
type page struct {
	header  http.Header
	status  int // 0: not set yet
	content bytes.Buffer
}

func (p *page) Header() http.Header { return p.header }

func (p *page) WriteHeader(status int) {
	if p.status == 0 && status >= 200 {
		p.status = status
	}
}

func (p *page) Write(b []byte) (int, error) {
	p.WriteHeader(http.StatusOK)
	return p.content.Write(b)
}

// writeTo sends the page to w. It leaves a page without a status to net/http.
func (p *page) writeTo(w http.ResponseWriter) {
	if p.status == 0 {
		return
	}
	if p.status != http.StatusNoContent && p.status != http.StatusNotModified {
		p.header.Set("Content-Length", strconv.Itoa(p.content.Len()))
	}
	w.WriteHeader(p.status)
	if p.content.Len() > 0 {
		w.Write(p.content.Bytes()) // an error means that the client has disconnected
	}
}
