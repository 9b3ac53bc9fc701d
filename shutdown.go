package tusd

import (
	"context"
	"sync"
)

// Shutdown ends the handler: bodies that are being received are interrupted
// with ErrServerShutdown, keeping what has arrived, and work in the
// background ends. It waits for the latter until ctx ends and returns its
// cause then. Requests themselves are waited for by http.Server.Shutdown,
// which is to be called beside or after it; an answer that the client does not
// take is cut soon. Idempotent.
func (h *Handler) Shutdown(ctx context.Context) error {
	h.engine.cancelBackground()
	h.running.hasten(ErrServerShutdown)
	return h.engine.close(ctx)
}

// requestList is the list of the exchanges that are being served, so that a
// shutdown reaches those that wait for their clients.
type requestList struct {
	mu    sync.Mutex
	first *exchange
	cause error // cause for all that come; nil: none
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

// hasten has all end soon that wait for their clients, for this cause.
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
