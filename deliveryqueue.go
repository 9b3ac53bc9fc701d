package tusd

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tus/tusd/internal/bytecache"
	"github.com/tus/tusd/internal/workqueue"
)

// deliveries are the events that wait for the receiver, in memory. Those that are kept have a
// side record, too (eventrecords.go).
type deliveries struct {
	e       *engine
	config  *Delivery // with defaults; nil: there is no receiver
	queue   workqueue.Queue[struct{}]
	ctx     context.Context // of Deliver; ends with the shutdown
	cancel  context.CancelFunc
	leftOut atomic.Bool // kept events did not fit: they are only in side records

	firstDelay time.Duration // before the second attempt

	mu          sync.Mutex
	drained     chan struct{}              // closed when no upload is left during the shutdown; nil: no shutdown
	finishDrain sync.Once                  // closes drained
	lost        sync.Once                  // countLost
	forgotten   int                        // events that ended with the shutdown
	uploads     map[string]*outgoing       // by id
	keys        map[SideRecordKey]struct{} // of the events that have a side record
	foreign     map[SideRecordKey]struct{} // of events that only handlers with another Delivery deliver; at most maxForeign
	bytes       int64                      // of all events
	told        *bytecache.Cache[string, sequences]
}

// outgoing are the events of one upload that wait, in order, and behind them those of a later
// upload with its id.
type outgoing struct {
	events   []*pendingEvent
	busy     bool      // the first one is being delivered
	attempts int       // of the first one
	tried    time.Time // the first of them
	last     bool      // the last event of an upload is, or was, among them
	ended    time.Time // Created of that upload
}

// pendingEvent is an event that waits.
type pendingEvent struct {
	Event
	key    SideRecordKey   // of the side record; the zero value: there is none
	since  time.Time       // when it was to be delivered first
	size   int64           // bytes of memory
	before []*pendingEvent // earlier events of an upload that is removed; they may be delivered
}

func newPendingEvent(event Event, key SideRecordKey, since time.Time) *pendingEvent {
	event = event.clone()
	event.ID, event.Sequence = event.identity(), sequence(event.Type)
	size := event.Upload.MemorySize() + event.HTTPRequest.memorySize() + pendingEventSize
	return &pendingEvent{Event: event, key: key, since: since, size: int64(size)}
}

// isOnlyHere reports whether an event that should not be lost has no side record.
func (p *pendingEvent) isOnlyHere() bool {
	return p.key == (SideRecordKey{}) && p.Type != EventPostReceive
}

// pendingEventSize estimates the memory of an event beside its texts and maps.
const pendingEventSize = 600

// toldBytes limits the memory of deliveries.told.
const toldBytes = 1 << 20

func newDeliveries(e *engine, config *Delivery) *deliveries {
	d := &deliveries{e: e, config: config, uploads: make(map[string]*outgoing), keys: make(map[SideRecordKey]struct{})}
	d.told = bytecache.New(toldBytes, func(key string, _ sequences) int { return len(key) }, nil)
	d.firstDelay = minDeliveryDelay
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.queue.Capacity, d.queue.Run, d.queue.Start = maxUndelivered, d.run, e.work.Start
	if config != nil {
		d.queue.Workers = config.AtOnce
	}
	return d
}

// incarnation names one life of an upload: a later upload may have its id.
func incarnation(info *FileInfo) string {
	return info.ID + "\n" + strconv.FormatInt(info.Created.UnixNano(), 10)
}

// add queues an event that was to be delivered first at since. It returns false if a kept
// event does not fit, and stays in its side record. The caller has the lock of the upload, so
// that its events come in order.
func (d *deliveries) add(event Event, key SideRecordKey, since time.Time) (added bool) {
	if !d.config.wants(event.Type) {
		return true
	}
	return d.insert(newPendingEvent(event, key, since))
}

// insert is add for an event that is prepared.
func (d *deliveries) insert(p *pendingEvent) (added bool) {
	id := p.Upload.ID
	d.mu.Lock()
	defer d.mu.Unlock()
	u := d.uploads[id]
	switch {
	case u != nil && (u.hasEnded(p) || u.has(p)):
		return true // none after the last one, and none twice
	case u != nil && p.Type == EventPostReceive && u.replace(d, p):
		d.e.metrics.EventsDropped.Add(1)
		return true
	case d.bytes > 0 && d.bytes+p.size > d.config.MaxBytes:
		return d.leaveOut(p)
	}
	if u == nil {
		u = new(outgoing)
		d.uploads[id] = u
	}
	if _, ok := d.queue.Add(id, struct{}{}, 0); !ok {
		if len(u.events) == 0 {
			delete(d.uploads, id)
		}
		return d.leaveOut(p)
	}
	u.events = append(u.events, p)
	if p.Sequence == lastSequence {
		u.last, u.ended = true, p.Upload.Created
	}
	d.bytes += p.size
	if p.key != (SideRecordKey{}) {
		d.keys[p.key] = struct{}{}
	}
	return true
}

// lastSequence is the Sequence of the last event of an upload.
const lastSequence = 3

// leaveOut counts an event that does not fit.
func (d *deliveries) leaveOut(p *pendingEvent) (added bool) {
	if p.key == (SideRecordKey{}) {
		d.e.metrics.EventsDropped.Add(1)
		return true
	}
	d.leftOut.Store(true)
	return false
}

// hasEnded reports whether the last event of the upload of p is, or was, in the queue.
func (u *outgoing) hasEnded(p *pendingEvent) bool {
	return u.last && u.ended.Equal(p.Upload.Created)
}

// has reports whether the event is queued already.
func (u *outgoing) has(p *pendingEvent) bool {
	return p.Sequence > 0 && slices.ContainsFunc(u.events, func(q *pendingEvent) bool {
		return q.Sequence == p.Sequence && q.Upload.Created.Equal(p.Upload.Created)
	})
}

// has reports whether the event of a side record is in memory, or is left to other handlers.
func (d *deliveries) has(key SideRecordKey) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.keys[key]
	_, foreign := d.foreign[key]
	return ok || foreign
}

// leaveEvent leaves the side record of an event in the store: this handler does not deliver it, but
// one with another Config.Delivery has kept it.
func (e *engine) leaveEvent(key SideRecordKey, id string) {
	if e.deliveries.setForeign(key) {
		e.log.Warn("events wait in the store that this configuration does not deliver; they stay until a server delivers them, or an operator drops them", "id", id)
	}
}

// setForeign notes an event that this handler does not deliver, and reports whether it is the first
// one.
func (d *deliveries) setForeign(key SideRecordKey) (first bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if first = d.foreign == nil; first {
		d.foreign = make(map[SideRecordKey]struct{})
	}
	if len(d.foreign) < maxForeign {
		d.foreign[key] = struct{}{}
	}
	return first
}

// maxForeign limits the memory of deliveries.foreign to 10 MiB.
const maxForeign = 50_000

// leavesEvents reports whether this handler has found events that it does not deliver.
func (d *deliveries) leavesEvents() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.foreign) > 0
}

// sequences is a set of Event.Sequence.
type sequences int

func (s sequences) has(n int) bool { return n > 0 && s&(1<<n) != 0 }

// toldOf returns which events of the upload of an event the receiver has, as far as this process
// knows.
func (d *deliveries) toldOf(p *pendingEvent) sequences {
	name := incarnation(&p.Upload)
	d.mu.Lock()
	defer d.mu.Unlock()
	told, _ := d.told.Get(name)
	return told
}

// setTold notes that the receiver has the event of the upload of p with this sequence.
func (d *deliveries) setTold(p *pendingEvent, sequence int) {
	name := incarnation(&p.Upload)
	d.mu.Lock()
	defer d.mu.Unlock()
	if told, _ := d.told.Get(name); sequence > 0 && !told.has(sequence) {
		d.told.Put(name, told|1<<sequence)
	}
}

// replace puts a post-receive event in the place of an older one that waits. It returns false if
// there is none.
func (u *outgoing) replace(d *deliveries, p *pendingEvent) bool {
	last := len(u.events) - 1
	if last < 0 || u.events[last].Type != EventPostReceive || last == 0 && u.busy || !u.events[last].Upload.Created.Equal(p.Upload.Created) {
		return false
	}
	d.bytes += p.size - u.events[last].size
	u.events[last] = p
	return true
}

// run is the Run of the queue: it delivers the first event of an upload.
func (d *deliveries) run(id string, _ struct{}, _ bool) (wait time.Duration, again bool) {
	p, attempt := d.begin(id)
	if p == nil {
		return 0, false
	}
	gone := false
	err := guard(func() (err error) {
		gone, err = d.deliver(p, attempt)
		return err
	})
	if d.ctx.Err() != nil { // it stays in its side record
		return 0, false
	}
	wait, again = d.end(id, p, attempt, gone, err)
	d.loadLeftOut()
	return wait, again
}

// begin returns the first event of an upload, and which attempt to deliver it this is.
func (d *deliveries) begin(id string) (p *pendingEvent, attempt int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	u := d.uploads[id]
	if u == nil {
		return nil, 0
	}
	u.busy = true
	if u.attempts++; u.attempts == 1 {
		u.tried = d.e.now()
	}
	return u.events[0], u.attempts
}

// deliver gives an event to the receiver. Earlier events of the upload that are only in
// side records come before it. gone means that it must not be delivered any more.
func (d *deliveries) deliver(p *pendingEvent, attempt int) (gone bool, err error) {
	if d.toldOf(p).has(p.Sequence) { // as an earlier event
		d.delivered(p)
		return false, nil
	}
	if gone, err := d.isGone(p, attempt); gone || err != nil {
		return gone, err
	}
	earlier, gone, err := d.earlier(p)
	if gone || err != nil {
		return gone, err
	}
	for _, event := range append(earlier, p) {
		if err := d.call(event, attempt); err != nil {
			if event == p {
				d.forgetBefore(p)
			}
			return false, err
		}
		d.delivered(event)
	}
	return false, nil
}

// forgetBefore removes the earlier events from the side record of a removal, when the receiver has
// them: another process would deliver them again.
func (d *deliveries) forgetBefore(p *pendingEvent) {
	if len(p.before) == 0 {
		return
	}
	p.before = nil
	err := d.e.changeFields(d.ctx, p.key, func(fields map[string]json.RawMessage) error {
		delete(fields, "Before")
		return nil
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		d.e.log.Warn("cannot change a side record", "id", p.Upload.ID, "err", err)
	}
}

// isGone reports whether an event must not be delivered any more. That of a side record: if the
// record is gone, another process has delivered the event, perhaps before a removal, or an
// operator has dropped it. A post-receive: if another process may have delivered later events.
// It looks only if some time has passed since the event.
func (d *deliveries) isGone(p *pendingEvent, attempt int) (bool, error) {
	if attempt == 1 && d.e.now().Sub(p.since) < d.unseenTime() {
		return false, nil
	}
	if p.Type == EventPostReceive {
		return d.isOvertaken(p), nil
	}
	if p.key == (SideRecordKey{}) {
		return false, nil
	}
	_, err := d.e.store.SideRecords.GetSideRecord(d.ctx, p.key)
	if errors.Is(err, ErrNotFound) {
		return true, nil
	}
	return false, err
}

// unseenTime is how long an event may wait before isGone looks whether it is gone.
func (d *deliveries) unseenTime() time.Duration {
	if d.e.store.Locker.Scope() == ScopeProcess {
		return 5 * time.Second
	}
	return 100 * time.Millisecond // another process may be at work on the upload
}

// isOvertaken reports whether another process may have finished or removed the upload of a
// post-receive.
func (d *deliveries) isOvertaken(p *pendingEvent) bool {
	if d.e.store.Locker.Scope() == ScopeProcess {
		return false
	}
	_, info, err := d.e.peek(d.ctx, p.Upload.ID)
	return err != nil || !info.Created.Equal(p.Upload.Created) || info.isComplete()
}

// call makes one call of the receiver. A removal that the receiver does not want is there for the
// events before it.
func (d *deliveries) call(p *pendingEvent, attempt int) error {
	if !d.config.wants(p.Type) {
		return nil
	}
	event := p.Event.clone()
	event.Attempt = attempt
	return guard(func() error { return d.config.Receiver.Deliver(d.ctx, event) })
}

// delivered notes that the receiver has an event, and removes its side record. If that fails,
// the event is delivered again later.
func (d *deliveries) delivered(p *pendingEvent) {
	d.setTold(p, p.Sequence)
	if p.key == (SideRecordKey{}) {
		return
	}
	if err := d.e.deleteSideRecord(context.WithoutCancel(d.ctx), p.key); err != nil {
		d.e.log.Warn("cannot remove a side record", "id", p.Upload.ID, "err", err)
	}
}

// end removes the first event of an upload after a success, or decides when it is delivered
// again. If it is gone, so is a post-receive behind it: another process may have delivered what
// follows.
func (d *deliveries) end(id string, p *pendingEvent, attempt int, gone bool, err error) (wait time.Duration, again bool) {
	if err != nil {
		wait = min(d.firstDelay<<min(attempt-1, 20), maxDeliveryDelay)
		again = d.failed(p, attempt, wait, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	u := d.uploads[id]
	u.busy = false
	switch {
	case again && d.drained != nil:
		d.forget(id)
		return 0, false
	case again:
		return jittered(wait), true
	}
	u.attempts = 0
	d.removeFirst(u)
	for gone && len(u.events) > 0 && u.events[0].Type == EventPostReceive {
		d.removeFirst(u)
		d.e.metrics.EventsDropped.Add(1)
	}
	if gone && p.Type == EventPostReceive {
		d.e.metrics.EventsDropped.Add(1)
	}
	if len(u.events) == 0 {
		d.forget(id)
		return 0, false
	}
	return 0, true
}

// removeFirst removes the first event of an upload. The caller holds mu.
func (d *deliveries) removeFirst(u *outgoing) {
	d.bytes -= u.events[0].size
	delete(d.keys, u.events[0].key)
	u.events = u.events[1:]
}

// forget removes an upload from memory. The caller holds mu.
func (d *deliveries) forget(id string) {
	for u := d.uploads[id]; len(u.events) > 0; {
		if u.events[0].isOnlyHere() {
			d.forgotten++
		}
		d.removeFirst(u)
	}
	delete(d.uploads, id)
	if d.drained != nil && len(d.uploads) == 0 {
		d.finishDrain.Do(func() { close(d.drained) })
	}
}

// drainTime is how long a shutdown waits for events that were never tried.
const drainTime = 5 * time.Second

// drain delivers what was never tried, and ends the deliveries. No event may follow. What is
// left stays in side records.
func (d *deliveries) drain(ctx context.Context) {
	defer d.lost.Do(d.countLost)
	defer d.queue.Close()
	defer d.cancel()
	if drained := d.beginDrain(); drained != nil {
		timer := time.NewTimer(drainTime)
		defer timer.Stop()
		select {
		case <-drained:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

// countLost counts the events that end with the process.
func (d *deliveries) countLost() {
	d.mu.Lock()
	count := d.forgotten
	for _, u := range d.uploads {
		for _, p := range u.events {
			if p.isOnlyHere() {
				count++
			}
		}
	}
	d.mu.Unlock()
	if count > 0 {
		d.e.metrics.EventsDropped.Add(uint64(count))
		d.e.log.Warn("events are lost: they were not delivered before the end", "lost", count)
	}
}

// beginDrain returns nil if no upload has events.
func (d *deliveries) beginDrain() chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, u := range d.uploads {
		if u.attempts > 0 && !u.busy && u.events[0].key != (SideRecordKey{}) {
			d.forget(id)
		}
	}
	if len(d.uploads) > 0 && d.drained == nil {
		d.drained = make(chan struct{})
	}
	return d.drained
}

// failed decides what follows a delivery that failed. It returns false if the event is not
// delivered again: it is lost, dead, or another process has delivered it.
func (d *deliveries) failed(p *pendingEvent, attempt int, wait time.Duration, err error) (again bool) {
	if p.Type == EventPostReceive || d.config.BestEffort {
		d.e.metrics.EventsDropped.Add(1)
		level := slog.LevelError
		if p.Type == EventPostReceive { // that is no harm
			level = slog.LevelDebug
		}
		d.e.log.Log(d.ctx, level, "an event is lost", "event", p.Type, "id", p.Upload.ID, "err", err)
		return false
	}
	dead, exists := d.isOverdue(p), true
	if p.key != (SideRecordKey{}) && (dead || wait >= recordedDelay) {
		exists = d.e.recordDelivery(p, attempt, dead, err)
	}
	if dead && exists {
		d.e.metrics.EventsDead.Add(1)
		d.e.log.Error("an event is dead, it will not be delivered again", "event", p.Type, "id", p.Upload.ID, "attempts", attempt, "err", err)
	}
	return exists && !dead
}

// isOverdue reports whether an event that was tried is not tried again. An event from before a
// long outage of this server is tried for some time, too.
func (d *deliveries) isOverdue(p *pendingEvent) bool {
	d.mu.Lock()
	tried := d.uploads[p.Upload.ID].tried
	d.mu.Unlock()
	now := d.e.now()
	return now.Sub(p.since) >= d.config.GiveUpAfter && now.Sub(tried) >= min(d.config.GiveUpAfter, leastTrying)
}

// leastTrying is how long a process tries an event that should have been delivered long ago.
const leastTrying = 10 * time.Minute

// recordedDelay is the least wait for another attempt that is worth a write to the side record,
// which keeps other processes from delivering the event meanwhile.
const recordedDelay = 30 * time.Second

// loadLeftOut loads kept events that did not fit, when half of the memory is free.
func (d *deliveries) loadLeftOut() {
	if !d.leftOut.Load() || !d.hasRoom() || !d.leftOut.CompareAndSwap(true, false) {
		return
	}
	d.e.work.Start(func() { d.e.resumeDeliveries(d.e.leastIdleAge()) })
}

// loadsLater reports whether the event of a side record is in memory, perhaps only until its last
// attempt ends. Then the side record is looked at after that attempt.
func (d *deliveries) loadsLater(key SideRecordKey) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.keys[key]
	if ok {
		d.leftOut.Store(true)
	}
	return ok
}

func (d *deliveries) hasRoom() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.bytes <= d.config.MaxBytes/2 && d.queue.Len() <= d.queue.Capacity/2
}

// stats counts what waits in memory.
func (d *deliveries) stats() (s DeliveryStats) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.Bytes, s.LeftOut = d.bytes, d.leftOut.Load()
	for _, u := range d.uploads {
		s.Waiting += len(u.events)
		if since := u.events[0].since; s.Oldest.IsZero() || since.Before(s.Oldest) {
			s.Oldest = since
		}
	}
	return s
}
