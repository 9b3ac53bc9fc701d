package tusd

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// EventType names a moment in the life of an upload.
type EventType string

// The events. pre-* are callbacks in Config, which wait for their answer; the
// others are told through Handler.Subscribe.
const (
	EventPreAccess     EventType = "pre-access"
	EventPreCreate     EventType = "pre-create"
	EventPreFinish     EventType = "pre-finish"
	EventPreTerminate  EventType = "pre-terminate"
	EventPostCreate    EventType = "post-create"
	EventPostReceive   EventType = "post-receive"
	EventPostFinish    EventType = "post-finish"
	EventPostTerminate EventType = "post-terminate"
)

// Event is one moment in the life of an upload.
type Event struct {
	Type EventType
	// Upload as of the event, a copy. In pre-create it has no ID and no Storage yet,
	// in pre-access only the ID.
	Upload FileInfo
	// HTTPRequest is the request that led to it; the zero value if the server
	// itself did, as when finishing is tried again by a later process, or if too
	// many requests wait for that.
	HTTPRequest HTTPRequest
}

// HTTPRequest is what events tell of a request. Header is a copy.
type HTTPRequest struct {
	Method     string // the effective one, after X-HTTP-Method-Override
	URI        string // as the client sent it
	RemoteAddr string
	Header     http.Header
}

// HTTPResponse is what a callback wants changed in an answer: what is zero
// stays as it is.
type HTTPResponse struct {
	StatusCode int
	Body       string
	Header     map[string]string
}

// FileInfoChanges is what a pre-create callback wants changed in an upload.
type FileInfoChanges struct {
	ID       string            // "" keeps the server's choice; must satisfy ValidateID
	MetaData MetaData          // nil keeps the client's, {} clears it
	Storage  map[string]string // nil keeps the store's choice; the store interprets it
}

// broadcaster passes events to subscriptions. The zero value has none.
type broadcaster struct {
	count  atomic.Int32 // of subscriptions, to be asked without the lock
	mu     sync.Mutex
	closed bool
	subs   []*Subscription
}

// active tells whether anybody listens.
func (b *broadcaster) active() bool { return b.count.Load() > 0 }

func (b *broadcaster) subscribe(size int) *Subscription {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &Subscription{c: make(chan Event, size), maxBytes: max(size*queueBytesPerEvent, minQueueBytes)}
	s.C = s.c
	if b.closed {
		close(s.c)
		return s
	}
	b.subs = append(b.subs, s)
	b.count.Add(1)
	return s
}

// A queue has so many bytes for each event, on average, and in all at least so
// many. Clients choose how large events are: a header may have 256 KiB.
const (
	queueBytesPerEvent = 4 << 10
	minQueueBytes      = 1 << 20
)

// publish never blocks: a full queue loses the event and counts it.
func (b *broadcaster) publish(event Event) {
	if !b.active() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.subs {
		event.Upload = event.Upload.Clone()
		s.offer(event)
	}
}

// offer queues an event, or drops it. The caller holds the broadcaster's lock.
func (s *Subscription) offer(event Event) {
	for len(s.sizes) > len(s.c) { // the consumer has taken the oldest
		s.bytes -= s.sizes[0]
		s.sizes = s.sizes[1:]
	}
	size := event.Upload.MemorySize() + event.HTTPRequest.memorySize()
	if s.bytes+size > s.maxBytes {
		s.dropped.Add(1)
		return
	}
	select {
	case s.c <- event:
		s.sizes, s.bytes = append(s.sizes, size), s.bytes+size
	default:
		s.dropped.Add(1)
	}
}

// close ends all subscriptions; what comes later is told to nobody.
func (b *broadcaster) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.subs {
		close(s.c)
	}
	b.subs, b.closed = nil, true
	b.count.Store(0)
}

// publish tells what has happened to an upload. Its lease is held, which
// keeps the events of one upload in order.
func (e *engine) publish(c *operation, event EventType, info FileInfo) {
	if e.events.active() {
		e.events.publish(Event{Type: event, Upload: info, HTTPRequest: c.from.request()})
	}
}

// progress returns what a body calls as it is read. The offsets it tells
// count what was received, which may be more than what is stored if the
// request fails.
func (e *engine) progress(c *operation, info FileInfo) func(n int64) {
	start, last := info.Offset, time.Now()
	return func(n int64) {
		if now := time.Now(); now.Sub(last) >= e.config.ProgressInterval {
			last, info.Offset = now, start+n
			e.publish(c, EventPostReceive, info)
		}
	}
}

// Subscription receives what has happened, in order per upload. A consumer
// that does not keep up loses events rather than block an upload: Dropped
// counts them.
type Subscription struct {
	// C is closed by Handler.Shutdown.
	C       <-chan Event
	c       chan Event
	dropped atomic.Uint64

	// guarded by the broadcaster's lock
	sizes    []int // of the events in c, and of those that were taken since the last one was queued
	bytes    int   // the sum
	maxBytes int
}

// Dropped counts the events that found the queue full.
func (s *Subscription) Dropped() uint64 { return s.dropped.Load() }

// A request that outlives its handler owns its bytes, and their sum is bounded, since
// clients choose most of them.

// maxRetainedRequestBytes bounds the memory for requests that events of later attempts
// tell of. Of further ones they do not tell.
const maxRetainedRequestBytes = 4 << 20

// retainRequest returns what work in the background may keep of a request: all, or
// nothing if the budget is used up. The caller calls drop when the work is over.
func (e *engine) retainRequest(request HTTPRequest) (retained HTTPRequest, release func()) {
	size := int64(request.memorySize())
	if e.retainedRequestBytes.Add(size) > maxRetainedRequestBytes {
		e.retainedRequestBytes.Add(-size)
		return HTTPRequest{}, func() {}
	}
	return request, func() { e.retainedRequestBytes.Add(-size) }
}

// memorySize estimates how many bytes of memory r leads to.
func (r HTTPRequest) memorySize() int {
	return len(r.Method) + len(r.URI) + len(r.RemoteAddr) + headerMemory(r.Header)
}

func headerMemory(header http.Header) int {
	const entry = int(unsafe.Sizeof("") + unsafe.Sizeof([]string{}))
	n := 2 * len(header) * entry
	for name, values := range header {
		n += len(name) + listMemory(values)
	}
	return n
}

// eventRequest is the request behind a call for an event that may outlive it, if
// anybody is going to see that.
func (e *engine) eventRequest(c *operation) HTTPRequest {
	if e.config.Callbacks.PreFinish == nil && !e.events.active() {
		return HTTPRequest{}
	}
	return c.from.request()
}
