package tusd

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
)

// Side records of kept events. That an upload is going to be created is in a record of its own;
// that it is finished or removed is in the record of that work (finishretry.go,
// removalrecord.go). Each is stored before the store acts, and removed when the receiver has the
// event.

// kindCreating is the kind of the side records that name uploads which are being created, or
// whose creation is not delivered yet.
const kindCreating = "creating"

// deliveryRecord is the part of a side record that is about the delivery of its event.
type deliveryRecord struct {
	Request  HTTPRequest `json:",omitzero"` // of the event
	Tried    time.Time   `json:",omitzero"` // when it was last tried, if it is not tried again soon
	Attempts int         `json:",omitempty"`
	Error    string      `json:",omitempty"` // of the last attempt
	Kept     bool        `json:",omitempty"` // a server that keeps the event has stored the record
	Dead     bool        `json:",omitempty"` // it is not tried again
	Again    time.Time   `json:",omitzero"`  // when an operator asked for further attempts
}

// since returns when the time for the attempts began. first is when the event was to be
// delivered first.
func (r *deliveryRecord) since(first time.Time) time.Time {
	if r.Again.After(first) {
		return r.Again
	}
	return first
}

// creationRecord is the value of a side record of kindCreating.
type creationRecord struct {
	ID       string
	Created  time.Time // also when the event was to be delivered first
	Delivery deliveryRecord
}

// incarnationKey returns the key of a side record about one life of an upload.
func incarnationKey(kind, id string, created time.Time) SideRecordKey {
	return SideRecordKey{Kind: kind, Name: hashName(incarnation(&FileInfo{ID: id, Created: created}))}
}

func creatingKey(info *FileInfo) SideRecordKey {
	return incarnationKey(kindCreating, info.ID, info.Created)
}

// recordCreation stores that an upload is going to be created, if the event is kept.
func (e *engine) recordCreation(op *operation, u *lockedUpload, info *FileInfo) error {
	if !e.config.Delivery.keeps(EventPostCreate) {
		return nil
	}
	r := creationRecord{ID: info.ID, Created: info.Created, Delivery: deliveryRecord{Kept: true, Request: e.config.Delivery.keptRequest(op.from.request())}}
	return e.storeWithRequest(u.ctx, creatingKey(info), &r, &r.Delivery.Request)
}

// forgetRefusedCreation removes the record of an upload that the store has refused to create. After
// another error, a look at the side records asks the store.
func (e *engine) forgetRefusedCreation(u *lockedUpload, info *FileInfo, cause error) {
	var refusal *Error
	if !e.config.Delivery.keeps(EventPostCreate) || !errors.As(cause, &refusal) || refusal.Is(ErrInternal) {
		return
	}
	if err := e.deleteSideRecord(u.lease.Context(), creatingKey(info)); err != nil {
		e.log.Warn("cannot remove a side record", "id", u.id, "err", err)
	}
}

// publishCreation publishes that the upload in u was created.
func (e *engine) publishCreation(op *operation, u *lockedUpload) {
	if !e.events.active() {
		return
	}
	event := Event{Type: EventPostCreate, Time: u.info.Created, Upload: u.info, HTTPRequest: op.from.request()}
	e.events.publish(u.lease.Context(), event)
	var key SideRecordKey
	if e.config.Delivery.keeps(EventPostCreate) {
		key = creatingKey(&u.info)
	}
	e.deliveries.add(event, key, u.info.Created)
}

// storeWithRequest stores a side record. If it is too long, what clients have chosen of the
// request is left out.
func (e *engine) storeWithRequest(ctx context.Context, key SideRecordKey, record any, request *HTTPRequest) error {
	value, err := json.Marshal(record)
	if err == nil && len(value) > MaxSideRecord {
		request.shorten()
		value, err = json.Marshal(record)
	}
	if err != nil {
		return err
	}
	return e.store.SideRecords.PutSideRecord(ctx, key, value)
}

// isIdle reports whether no process delivers the event of a side record any more, which was
// stored at since. A look at records of any age is one at the start of a process: without
// a lock service, no other process is at work.
func (e *engine) isIdle(d *deliveryRecord, since time.Time, age time.Duration) bool {
	switch {
	case d.Dead:
		return false
	case age == 0 && e.store.Locker.Scope() != ScopeLease:
		return true
	}
	young := e.now().Sub(since)
	return (young < 0 || young >= age) && (d.Tried.IsZero() || e.now().Sub(d.Tried) > maxDeliveryDelay+time.Minute)
}

// leastIdleAge is the age of the side records that this process may have left out of memory. With
// leases, what is younger may be in the memory of another process, which delivers it now.
func (e *engine) leastIdleAge() time.Duration {
	if e.store.Locker.Scope() == ScopeLease {
		return firstRescanAge
	}
	return 0
}

// earlier returns the events of the upload that have to be delivered before p and are not in
// memory: they did not fit, or another process has left them. moved is true if p must not be
// delivered now, because the last event of the upload brings all of them.
func (d *deliveries) earlier(p *pendingEvent) (events []*pendingEvent, moved bool, err error) {
	told := d.toldOf(p)
	switch {
	case p.Type == EventPostCreate, p.Sequence < lastSequence && told != 0:
		return nil, false, nil
	case p.Sequence == lastSequence:
		return slices.DeleteFunc(slices.Clone(p.before), func(b *pendingEvent) bool { return told.has(b.Sequence) }), false, nil
	case p.key == (SideRecordKey{}) && !d.config.keeps(EventPostCreate):
		return nil, false, nil
	}
	r, err := d.e.loadCreationRecord(d.ctx, creatingKey(&p.Upload))
	if err != nil {
		return nil, false, err
	}
	switch {
	case r == nil:
		moved, err := d.isRemoved(p)
		if !moved && err == nil {
			d.setTold(p, sequence(EventPostCreate))
		}
		return nil, moved, err
	case r.Delivery.Dead:
		return nil, false, nil
	case !d.config.wants(EventPostCreate):
		d.e.leaveEvent(creatingKey(&p.Upload), p.Upload.ID)
		return nil, false, nil
	}
	return []*pendingEvent{r.event(p.Upload)}, false, nil
}

// isRemoved reports whether the upload has a side record of its removal. That has the events that
// were not delivered before: their own side records are gone.
func (d *deliveries) isRemoved(p *pendingEvent) (bool, error) {
	_, err := d.e.store.SideRecords.GetSideRecord(d.ctx, removingKey(&p.Upload))
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// event returns the event of a creation. info is the record of the upload, now or later.
func (r *creationRecord) event(info FileInfo) *pendingEvent {
	info.Offset = 0
	return newPendingEvent(Event{Type: EventPostCreate, Time: r.Created, Upload: info, HTTPRequest: r.Delivery.Request}, creatingKey(&info), r.Delivery.since(r.Created))
}

// loadCreationRecord returns nil if there is none.
func (e *engine) loadCreationRecord(ctx context.Context, key SideRecordKey) (*creationRecord, error) {
	value, err := e.store.SideRecords.GetSideRecord(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return e.parseCreationRecord(ctx, key, value)
}

// parseCreationRecord returns nil for a record that cannot be read, or is not that of its key, and
// deletes it: without durability, a power cut can leave it empty, or with another content.
func (e *engine) parseCreationRecord(ctx context.Context, key SideRecordKey, value []byte) (*creationRecord, error) {
	r := new(creationRecord)
	err := json.Unmarshal(value, r)
	if err != nil || key != incarnationKey(kindCreating, r.ID, r.Created) {
		e.log.Error("a side record of a creation cannot be read, it is deleted", "name", key.Name, "err", err)
		return nil, e.deleteSideRecord(ctx, key)
	}
	return r, nil
}

// resumeCreations continues with the creations whose side record has this age: the event is
// queued if the upload exists, and forgotten if it does not.
func (e *engine) resumeCreations(age time.Duration) {
	err := e.eachIdleRecord(kindCreating, func(key SideRecordKey, value []byte) error {
		r, err := e.parseCreationRecord(e.background, key, value)
		if r == nil || !e.isIdle(&r.Delivery, r.Created, age) {
			return err
		}
		if !e.config.Delivery.wants(EventPostCreate) {
			e.leaveEvent(key, r.ID)
			return nil
		}
		queued, err := e.resumeCreation(key, r)
		if err == nil && !queued {
			err = errQueueFull
		}
		return err
	})
	if err != nil && !errors.Is(err, errQueueFull) && e.background.Err() == nil {
		log := e.workLog(err)
		log.Error("cannot list the creations that are not delivered", "err", err)
	}
}

// resumeCreation returns false if there is no room for the event.
func (e *engine) resumeCreation(key SideRecordKey, r *creationRecord) (queued bool, err error) {
	_, info, err := e.peek(e.background, r.ID)
	switch {
	case err == nil && info.Created.Equal(r.Created):
		return e.deliveries.insert(r.event(info)), nil
	case err == nil || errors.Is(err, ErrNotFound):
		return true, e.forgetCreation(key, r)
	}
	return false, err
}

// forgetCreation deletes the side record of an upload that does not exist, unless it is just being
// created. A broken upload is half a creation, whose client has got no answer, or half a removal,
// whose side record has the event.
func (e *engine) forgetCreation(key SideRecordKey, r *creationRecord) error {
	if e.store.Locker.Scope() == ScopeProcess && e.now().Sub(r.Created) < removalTime {
		return nil // another process may be at work
	}
	u, err := e.lock(e.background, r.ID, LockTry)
	if errors.Is(err, ErrUploadLocked) {
		return nil
	}
	if err != nil {
		return err
	}
	defer u.release()
	switch err := u.load(e.store.Core); {
	case err == nil && u.info.Created.Equal(r.Created):
		return nil
	case err == nil || errors.Is(err, ErrNotFound): // or ErrBroken
		return e.deleteSideRecord(u.ctx, key)
	default:
		return err
	}
}

// eachIdleRecord calls f for the side records of a kind whose events are not in memory. It ends
// with errQueueFull when there is no more room.
func (e *engine) eachIdleRecord(kind string, f func(SideRecordKey, []byte) error) error {
	return e.eachSideRecordExcept(e.background, kind, "", e.deliveries.has, f)
}

// recordDelivery notes in the side record of an event that an attempt has failed. It returns false
// if the record is gone: another process has delivered the event, or an operator has dropped it.
func (e *engine) recordDelivery(p *pendingEvent, attempts int, dead bool, cause error) (exists bool) {
	err := guard(func() error {
		return e.changeDelivery(e.background, p.key, func(d *deliveryRecord) {
			d.Tried, d.Attempts, d.Error, d.Dead = e.now().UTC(), attempts, shortText(cause.Error()), dead
		})
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		e.log.Warn("cannot change a side record", "id", p.Upload.ID, "err", err)
	}
	return !errors.Is(err, ErrNotFound)
}

// changeDelivery changes the part of a side record that is about the delivery. If the record gets
// too long, the request and the error go.
func (e *engine) changeDelivery(ctx context.Context, key SideRecordKey, change func(*deliveryRecord)) error {
	return e.changeFields(ctx, key, func(fields map[string]json.RawMessage) (err error) {
		var d deliveryRecord
		if old, ok := fields["Delivery"]; ok {
			if err := json.Unmarshal(old, &d); err != nil {
				return err
			}
		}
		change(&d)
		if fields["Delivery"], err = json.Marshal(d); err == nil && isLong(fields) {
			d.Request, d.Error = HTTPRequest{}, ""
			fields["Delivery"], err = json.Marshal(d)
		}
		return err
	})
}

// isLong reports whether a side record is too long.
func isLong(fields map[string]json.RawMessage) bool {
	length := 0
	for name, value := range fields {
		length += len(name) + len(value) + len(`"":,`)
	}
	return length+len("{}") > MaxSideRecord
}

// changeFields changes a side record. Those that change does not touch stay as they are.
func (e *engine) changeFields(ctx context.Context, key SideRecordKey, change func(fields map[string]json.RawMessage) error) error {
	value, err := e.store.SideRecords.GetSideRecord(ctx, key)
	if err != nil {
		return err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(value, &fields); err != nil {
		return err
	}
	if err := change(fields); err != nil {
		return err
	}
	if value, err = json.Marshal(fields); err != nil {
		return err
	}
	return e.store.SideRecords.PutSideRecord(ctx, key, value)
}

// shortText cuts a text that is kept in a side record.
func shortText(s string) string {
	const longest = 1000
	return strings.ToValidUTF8(s[:min(len(s), longest)], "")
}

// resumeDeliveries continues with the kept events of this age that are not in memory.
func (e *engine) resumeDeliveries(age time.Duration) {
	if e.config.Delivery != nil {
		e.resumeCreations(age)
	}
	e.resumeRemovalsLater(age)
	e.resumeFinishes(age)
}
