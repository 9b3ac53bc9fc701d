package tusd

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// EventType is the type of an event.
type EventType string

// The types of events. pre-* events go to the Callbacks in Config and wait for
// their result. post-* events go to the subscriptions of Handler.Subscribe.
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

// Event is something that happens, or is going to happen, to an upload.
type Event struct {
	Type EventType
	// Upload is a copy of the record as of the event. In pre-create it has no ID
	// and no Storage. In pre-access, and in pre- and post-terminate of a broken
	// record, it has only the ID. In a post-receive event during a request, Offset
	// counts received bytes: if the request fails, fewer are stored, and Offset may
	// be smaller in a later event.
	Upload FileInfo
	// HTTPRequest is the request that caused the event. It is the zero value if
	// no request did, as when a later process retries to finish an upload, or if
	// the requests that background work retains exceed 4 MiB.
	HTTPRequest HTTPRequest
}

// HTTPRequest describes the request of an event. Header is a copy, with Host, and with
// credentials such as Authorization and Cookie.
type HTTPRequest struct {
	Method     string // the effective one, after X-HTTP-Method-Override
	URI        string // as the client sent it
	RemoteAddr string // host:port of the client; the port is 0 if a trusted proxy named the client
	Header     http.Header
}

// HTTPResponse is what a callback changes in an answer. Zero fields change nothing. A
// StatusCode outside of 200 to 599 makes the call of the callback a transient error.
type HTTPResponse struct {
	StatusCode int
	Body       string
	Header     map[string]string
}

// FileInfoChanges is what a pre-create callback changes in the record of an upload.
type FileInfoChanges struct {
	ID       string            // "" keeps the server's choice; else it must satisfy ValidateID and be free
	MetaData MetaData          // nil keeps the client's, {} clears it
	Storage  map[string]string // nil keeps the store's choice; the store interprets it
}

// broadcaster publishes events to subscriptions. The zero value has none.
type broadcaster struct {
	count  atomic.Int32 // of subscriptions; read without mu
	mu     sync.Mutex
	closed bool
	subs   []*Subscription
}

// active reports whether there are subscriptions.
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

// The queue of a subscription is limited in bytes, too: so many for each event, on
// average, and in all at least so many. Clients choose how large events are: a header
// may have 256 KiB.
const (
	queueBytesPerEvent = 4 << 10
	minQueueBytes      = 1 << 20
)

// publish gives the event to all subscriptions. It never blocks: if a queue is full,
// the event is dropped there and counted.
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

// offer queues an event, or drops it. The caller holds the broadcaster's mu.
func (s *Subscription) offer(event Event) {
	for len(s.sizes) > len(s.c) { // the consumer has received the oldest events
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

// close ends all subscriptions. Later events are dropped.
func (b *broadcaster) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.subs {
		close(s.c)
	}
	b.subs, b.closed = nil, true
	b.count.Store(0)
}

// publish publishes an event of an upload. The caller holds the lock on the upload,
// which keeps its events in order.
func (e *engine) publish(op *operation, event EventType, info FileInfo) {
	if e.events.active() {
		e.events.publish(Event{Type: event, Upload: info, HTTPRequest: op.from.request()})
	}
}

// progress returns a function for body.progress, which publishes post-receive events.
// Their Offset counts received bytes. If the request fails, fewer may be stored.
func (e *engine) progress(op *operation, info FileInfo) func(n int64) {
	start, last := info.Offset, time.Now()
	return func(n int64) {
		if now := time.Now(); now.Sub(last) >= e.config.ProgressInterval {
			last, info.Offset = now, start+n
			e.publish(op, EventPostReceive, info)
		}
	}
}

// Subscription receives the post-* events, those of one upload in order. If the
// consumer is too slow, events are dropped, so that uploads are not blocked. Dropped
// counts them.
type Subscription struct {
	// C is closed by Handler.Shutdown.
	C       <-chan Event
	c       chan Event
	dropped atomic.Uint64

	// guarded by the broadcaster's mu
	sizes    []int // of the events in c, and of those received since the last event was queued
	bytes    int   // the sum of sizes
	maxBytes int
}

// Dropped counts the events that found the queue full.
func (s *Subscription) Dropped() uint64 { return s.dropped.Load() }

// maxRetainedRequestBytes limits the memory for requests that work in the background
// retains for its events. Clients choose how large requests are. Events of further
// work have no request.
const maxRetainedRequestBytes = 4 << 20

// retainRequest returns the request for work in the background, or the zero value if
// the limit is reached. The caller calls release when the work has ended.
func (e *engine) retainRequest(request HTTPRequest) (retained HTTPRequest, release func()) {
	size := int64(request.memorySize())
	if e.retainedRequestBytes.Add(size) > maxRetainedRequestBytes {
		e.retainedRequestBytes.Add(-size)
		return HTTPRequest{}, func() {}
	}
	return request, func() { e.retainedRequestBytes.Add(-size) }
}

// memorySize estimates how many bytes of memory the strings and the header of r use.
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

// eventRequest returns the request of an operation for an event that may come after
// its end. It is the zero value if no callback or subscription would get the event.
func (e *engine) eventRequest(op *operation) HTTPRequest {
	if e.config.Callbacks.PreFinish == nil && !e.events.active() {
		return HTTPRequest{}
	}
	return op.from.request()
}
