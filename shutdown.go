package tusd

import (
	"context"
	"sync"
)

// Shutdown ends the handler. Bodies that are being received are interrupted with
// ErrServerShutdown, and what has arrived is kept. New requests that could change an
// upload get ErrServerShutdown. Background work ends; Shutdown waits for it, for
// running requests that could change an upload, and until their locks are released. When
// ctx ends, it returns ctx's cause. It does not wait for other requests, such as downloads:
// call http.Server.Shutdown beside or after it. An answer that the client does not read is
// cut off soon.
//
// Config.Events and the subscriptions are closed when the last of this work has
// published its events: before Shutdown returns nil, otherwise when that work has ended.
// Idempotent.
func (h *Handler) Shutdown(ctx context.Context) error {
	h.engine.cancelBackground()
	h.running.hasten(ErrServerShutdown)
	return h.engine.close(ctx)
}

// requestList is the list of the exchanges that are being served. A shutdown uses it to
// hasten those that wait for their clients.
type requestList struct {
	mu    sync.Mutex
	first *exchange
	cause error // hastens new exchanges, too; nil: no shutdown
}

func (l *requestList) add(x *exchange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if x.next = l.first; x.next != nil {
		x.next.prev = x
	}
	l.first = x
	if l.cause != nil {
		x.deadlines.Hasten(l.cause)
	}
}

func (l *requestList) remove(x *exchange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if x.next != nil {
		x.next.prev = x.prev
	}
	if x.prev != nil {
		x.prev.next = x.next
	} else {
		l.first = x.next
	}
	x.prev, x.next = nil, nil
}

// hasten ends all exchanges soon that wait for their clients, with this cause.
func (l *requestList) hasten(cause error) {
	for _, x := range l.all(cause) {
		x.deadlines.Hasten(cause) // does nothing if it has ended meanwhile
	}
}

func (l *requestList) all(cause error) (list []*exchange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cause = cause
	for x := l.first; x != nil; x = x.next {
		list = append(list, x)
	}
	return list
}
