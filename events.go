package tusd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// EventType is the type of an event.
type EventType string

// The types of events. pre-* events go to the Callbacks in Config and wait for
// their result. post-* events go to the sink in Config.Events, to the receiver in
// Config.Delivery, and to the subscriptions of Handler.Subscribe.
const (
	EventPreAccess     EventType = "pre-access"
	EventPreCreate     EventType = "pre-create"
	EventPreFinish     EventType = "pre-finish"
	EventPreTerminate  EventType = "pre-terminate"
	EventPostCreate    EventType = "post-create"
	EventPostReceive   EventType = "post-receive"
	EventPostFinish    EventType = "post-finish"
	EventPostTerminate EventType = "post-terminate"
	EventPostExpire    EventType = "post-expire" // Handler.Sweep has removed the upload
)

// Event is something that happens, or is going to happen, to an upload.
type Event struct {
	Type EventType
	// ID identifies a post-* event: it is the same each time the event is sent, also by
	// another process. Two post-receive events of one upload have the same ID if they have
	// the same Offset.
	ID string
	// Sequence orders the events of an upload: 1 post-create, 2 post-finish, 3 post-terminate
	// and post-expire. Other events have 0.
	Sequence int
	// Time is when the event happened; only in post-* events.
	Time time.Time
	// Attempt counts the deliveries of an event of Config.Delivery by this process, from 1.
	Attempt int
	// Upload is a copy of the record as of the event. In pre-create it has no ID
	// and no Storage. In pre-access it has only the ID: Record loads the record. In
	// pre- and post-terminate of a broken record it has only the ID. In a post-receive event during a request, Offset
	// counts received bytes: if the request fails, fewer are stored, and Offset may
	// be smaller in a later event.
	Upload FileInfo
	// HTTPRequest is the request that caused the event. It is the zero value if
	// no request did, as when a later process retries to finish an upload, or if
	// the requests that background work retains exceed 4 MiB.
	HTTPRequest HTTPRequest
	// Reason is why the upload is removed; only in pre-terminate,
	// post-terminate and post-expire.
	Reason RemovalReason

	load func(ctx context.Context) (FileInfo, error) // only in pre-access
}

// Record returns the record of the upload: Upload, or in pre-access the record in the
// store, which is loaded by each call and not changed. The upload may not exist:
// ErrNotFound. Its Offset may not be on disk yet and may change at any time.
func (e Event) Record(ctx context.Context) (FileInfo, error) {
	if e.load == nil {
		return e.Upload, nil
	}
	return e.load(ctx)
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
// StatusCode outside of 200 to 599 makes the call of the callback a transient error. In
// Header, these fields are ignored: Upload-*, Tus-*, Access-Control-*, Location, Allow, Vary,
// X-Request-Id, digests, and those with which HTTP transfers the answer, such as
// Content-Length. But names in Access-Control-Expose-Headers are added to those that scripts
// of other origins may read.
type HTTPResponse struct {
	StatusCode int
	Body       string
	Header     map[string]string
}

// FileInfoChanges is what a pre-create callback changes in the record of an upload.
type FileInfoChanges struct {
	Expires  time.Time         // when the upload expires if it is incomplete then, whatever Config.ExpireAfter says and without renewal; zero: as usual
	Owner    string            // who the upload belongs to, for FileInfo.Owner; "" sets none
	ID       string            // "" keeps the server's choice; else it must satisfy ValidateID and be free
	MetaData MetaData          // nil keeps the client's, {} clears it
	Storage  map[string]string // nil keeps the store's choice; the store interprets it
}

// EventSink receives the post-* events of a Handler, see Config.Events.
//
// Send is called by the request or the background work that has caused the event, while
// the upload is locked. So the events of one upload come in order and one at a time, and
// those of different uploads at the same time. A Send that takes long delays the requests
// of its upload, which get transient errors if it takes too long: if the receiver may be
// slow, Send puts the event into a queue. ctx ends 10 s after the call, or earlier if the
// lock is lost; Send returns then. The event belongs to the sink.
//
// An error, or a panic, means that the sink does not have the event. It never fails the
// request. EventPostFinish is sent again, with growing delays, until Send returns nil, for
// 24 h from the first attempt, also by a later process if the store has SideRecords. So it
// is sent at least once for each upload that becomes complete, unless the upload is removed
// before (TryTerminate does not). Partial uploads have no post-finish, unless
// Config.PartialFinish is set. After a crash, or if several processes serve the store, it may
// come twice.
//
// An event of a removal that no request of this process asked for is sent again in the same
// way, at each look at the side records: EventPostExpire, and EventPostTerminate of an upload
// that was removed for space or by a tool. Every other event is lost after an error;
// Metrics.EventsFailed counts the calls that failed, and the log names them.
//
// Close is called once, by Shutdown or after it, when no further event can come. Shutdown
// waits for it.
//
// Send and Close must not call Handler.Shutdown, and Send must not call Handler.Terminate
// for the upload of its event: they would wait for themselves.
type EventSink interface {
	Send(ctx context.Context, event Event) error
	Close()
}

// sendTimeout limits a call of EventSink.Send. It is shorter than the usual wait for the
// lock.
const sendTimeout = 10 * time.Second

// publisher publishes events to the sink of the configuration and to the subscriptions.
type publisher struct {
	sink       EventSink // nil: none
	deliveries *deliveries
	metrics    *Metrics
	log        *slog.Logger

	count  atomic.Int32 // of subscriptions; read without mu
	mu     sync.Mutex
	closed bool
	subs   []*Subscription
}

// active reports whether there are receivers of events.
func (p *publisher) active() bool {
	return p.sink != nil || p.deliveries.config != nil || p.count.Load() > 0
}

// tellsProgress reports whether there are receivers of post-receive.
func (p *publisher) tellsProgress() bool {
	return p.sink != nil || p.deliveries.config.wants(EventPostReceive) || p.count.Load() > 0
}

func (p *publisher) subscribe(size int) *Subscription {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &Subscription{c: make(chan Event, size), maxBytes: max(size*queueBytesPerEvent, minQueueBytes)}
	s.C = s.c
	if p.closed {
		close(s.c)
		return s
	}
	p.subs = append(p.subs, s)
	p.count.Add(1)
	return s
}

// The queue of a subscription is limited in bytes, too: so many for each event, on
// average, and in all at least so many. Clients choose how large events are: a header
// may have 256 KiB.
const (
	queueBytesPerEvent = 4 << 10
	minQueueBytes      = 1 << 20
)

// publish gives an event to the sink and the subscriptions. An error means that the sink does
// not have it. ctx is that of the lease on the upload.
func (p *publisher) publish(ctx context.Context, event Event) error {
	p.offer(event)
	return p.send(ctx, event)
}

// sendAgain is publish for an event that the sink may have refused before.
func (p *publisher) sendAgain(ctx context.Context, event Event) error {
	err := p.send(ctx, event)
	if err == nil {
		p.offer(event)
	}
	return err
}

// offer gives the event to the subscriptions. It never blocks: if a queue is full, the
// event is dropped there and counted.
func (p *publisher) offer(event Event) {
	if p.count.Load() == 0 {
		return
	}
	event.ID, event.Sequence = event.identity(), sequence(event.Type)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.subs {
		s.offer(event.clone())
	}
}

// send gives the event to the sink.
func (p *publisher) send(ctx context.Context, event Event) error {
	if p.sink == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	event = event.clone()
	event.ID, event.Sequence = event.identity(), sequence(event.Type)
	err := guard(func() error { return p.sink.Send(ctx, event) })
	if err != nil {
		p.metrics.EventsFailed.Add(1)
		p.log.Error("an event could not be sent", "event", event.Type, "id", event.Upload.ID, "err", err)
	}
	return err
}

// offer queues an event, or drops it. The caller holds the publisher's mu.
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

// close closes the sink and ends all subscriptions, once. The caller makes sure that no
// event follows.
func (p *publisher) close() {
	if !p.closeSubscriptions() || p.sink == nil {
		return
	}
	err := guard(func() error { p.sink.Close(); return nil }) // a panic must not end the shutdown
	if err != nil {
		p.log.Error("the event sink could not be closed", "err", err)
	}
}

// closeSubscriptions reports false if it was called before.
func (p *publisher) closeSubscriptions() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.closed = true
	for _, s := range p.subs {
		close(s.c)
	}
	p.subs = nil
	p.count.Store(0)
	return true
}

// Subscription receives the post-* events, those of one upload in order. If the
// consumer is too slow, events are dropped, so that uploads are not blocked. Dropped
// counts them. A program that must not lose an event uses Config.Events.
type Subscription struct {
	// C is closed by Handler.Shutdown, after the last event.
	C       <-chan Event
	c       chan Event
	dropped atomic.Uint64

	// guarded by the publisher's mu
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

// identity returns the ID of the event.
func (e *Event) identity() string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%d", e.Type, e.Upload.ID, e.Upload.Created.UnixNano())
	if e.Type == EventPostReceive {
		fmt.Fprintf(h, "\n%d", e.Upload.Offset)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// clone returns a copy of the event for one receiver, which may change it.
func (e Event) clone() Event {
	e.Upload, e.HTTPRequest = e.Upload.Clone(), e.HTTPRequest.clone()
	return e
}

func (r HTTPRequest) clone() HTTPRequest {
	r.Header = r.Header.Clone()
	return r
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
// its end. It is the zero value if no callback, sink or subscription would get the event.
func (e *engine) eventRequest(op *operation) HTTPRequest {
	if e.config.Callbacks.PreFinish == nil && !e.events.active() {
		return HTTPRequest{}
	}
	return op.from.request()
}
