package tusd

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"
)

// Records of removals that no request asks for, or whose events are kept for the delivery. Such
// a removal is recorded before the store begins it, so that a crash leaves neither half an
// upload nor an event that was not sent: the next look at the side records completes both.

// kindRemoving is the kind of the side records that name uploads which are being removed,
// or are removed and not published yet.
const kindRemoving = "removing"

// removalTime is the longest time between the side record of a removal and the removal, for
// processes that do not see each other's locks.
const removalTime = 10 * time.Minute

// visibleFor is how long a request may go on without a change in the store. Uploads change
// more often while they are written (Upload.WriteChunk).
const visibleFor = time.Hour

// maxRefusals is how many events in a row the sink may refuse before a look at the side
// records ends.
const maxRefusals = 3

// removingKey returns the key of the side record of a removal. A later upload with the same
// id has another key.
func removingKey(info *FileInfo) SideRecordKey {
	return incarnationKey(kindRemoving, info.ID, info.Created)
}

// removalRecord is the value of a side record of kindRemoving.
type removalRecord struct {
	Since   time.Time
	Reason  RemovalReason
	Upload  FileInfo // as of the removal, for the event
	Removed bool     `json:",omitempty"` // nothing of the upload is left
	Sent    bool     `json:",omitempty"` // the sink has the event, and the record stays for the delivery
	// Before are the events that were not delivered when the removal began.
	Before   []earlierEvent `json:",omitempty"`
	Delivery deliveryRecord `json:",omitzero"`
}

// earlierEvent is an event of an upload before its removal.
type earlierEvent struct {
	Type    EventType
	Time    time.Time
	Request HTTPRequest `json:",omitzero"`
}

// eventType returns the type of the event of a removal.
func (reason RemovalReason) eventType() EventType {
	if reason == RemovedExpired {
		return EventPostExpire
	}
	return EventPostTerminate
}

// isRecorded reports whether every removal for this reason has a side record; others have one if
// earlier events are not delivered yet. A removal by a process that sends no events has one, so
// that another process sends the event.
func (e *engine) isRecorded(reason RemovalReason) bool {
	return e.config.Offline || reason == RemovedExpired || reason == RemovedForSpace || e.config.Delivery.keeps(reason.eventType())
}

// recordRemoval stores that the upload in u is going to be removed, if the removal has a side
// record, and asks r.confirm. After an error the record is not stored.
func (e *engine) recordRemoval(u *lockedUpload, r removal, before []earlierEvent) (*removalRecord, error) {
	if !e.isRecorded(r.reason) && len(before) == 0 {
		return nil, e.forgetEarlierRemoval(u)
	}
	record := &removalRecord{Since: e.now().UTC(), Reason: r.reason, Upload: u.info, Before: before}
	record.Delivery.Kept = e.config.Delivery.keeps(r.reason.eventType())
	record.Delivery.Request = e.config.Delivery.keptRequest(r.request)
	err := e.storeRemovalRecord(u.ctx, record)
	if err == nil && r.confirm != nil {
		err = r.confirm(u)
	}
	if err != nil {
		e.forgetRemoval(u, record)
	}
	return record, err
}

// earlierEvents returns the events of the upload in u that wait for their delivery, and the keys of
// its side records that end with its removal. A process that delivers no events takes all that
// wait, for one that does. Dead events stay where they are.
func (e *engine) earlierEvents(u *lockedUpload) (events []earlierEvent, keys []SideRecordKey, err error) {
	takesAll := e.config.Offline || e.deliveries.leavesEvents()
	if takesAll || e.config.Delivery.keeps(EventPostCreate) {
		r, err := e.loadCreationRecord(u.ctx, creatingKey(&u.info))
		if err != nil {
			return nil, nil, err
		}
		if r != nil && !r.Delivery.Dead {
			events = append(events, earlierEvent{EventPostCreate, r.Created, r.Delivery.Request})
			keys = append(keys, creatingKey(&u.info))
		}
	}
	if u.info.isComplete() && (takesAll || e.config.Delivery.keeps(EventPostFinish)) {
		var t finishTask
		found, err := e.loadFinishRecord(u.ctx, u, &t)
		switch {
		case err != nil:
			return nil, nil, err
		case found && t.record.Delivery.Dead:
			return events, keys, nil
		case found && t.record.Delivery.Kept:
			events = append(events, earlierEvent{EventPostFinish, t.record.Since, t.record.Delivery.Request})
		}
	}
	if u.info.State != "" || u.upload == nil || e.config.Offline || e.keepsFinish(&u.info) { // it may have been finished in part
		keys = append(keys, finishingKey(&u.info))
	}
	return events, keys, nil
}

// forgetEarlierRecords deletes other side records of an upload that is removed.
func (e *engine) forgetEarlierRecords(u *lockedUpload, keys []SideRecordKey) {
	for _, key := range keys {
		if err := e.deleteSideRecord(u.lease.Context(), key); err != nil {
			e.log.Warn("cannot remove a side record", "id", u.id, "err", err)
		}
	}
}

// storeRemovalRecord stores a record. One that is too long is stored without what clients have
// chosen.
func (e *engine) storeRemovalRecord(ctx context.Context, r *removalRecord) error {
	value, err := json.Marshal(r)
	if err == nil && len(value) > MaxSideRecord {
		short := *r
		short.Upload.MetaData, short.Upload.RawMetaData, short.Upload.RawConcat = nil, "", ""
		short.Upload.PartialUploads, short.Upload.Finals, short.Upload.Failure = nil, nil, nil
		short.Delivery.Request = HTTPRequest{}
		short.Before = slices.Clone(r.Before)
		for i := range short.Before {
			short.Before[i].Request = HTTPRequest{}
		}
		value, err = json.Marshal(short)
	}
	if err != nil {
		return err
	}
	return e.store.SideRecords.PutSideRecord(ctx, removingKey(&r.Upload), value)
}

// forgetRemoval deletes the side record of a removal that has failed, if the upload is whole:
// it may be removed for another reason before the next look at the side records.
func (e *engine) forgetRemoval(u *lockedUpload, record *removalRecord) {
	if record == nil {
		return
	}
	ctx := u.lease.Context()
	if _, _, err := e.load(ctx, u.id); err == nil {
		if err := e.deleteSideRecord(ctx, removingKey(&record.Upload)); err != nil {
			e.log.Warn("cannot remove a side record", "id", u.id, "err", err)
		}
	}
}

// forgetEarlierRemoval deletes the side record of a removal that a crash has stopped, before
// the upload is removed for another reason. Only old uploads can have one.
func (e *engine) forgetEarlierRemoval(u *lockedUpload) error {
	if u.upload == nil || !e.isOld(&u.info) {
		return nil
	}
	return e.deleteSideRecord(u.ctx, removingKey(&u.info))
}

// isOld reports whether a sweep may be about to remove the upload.
func (e *engine) isOld(info *FileInfo) bool {
	return e.store.Lister != nil && !info.Changed.IsZero() && e.now().Sub(info.Changed) >= visibleFor
}

// makeVisible lets the sweep of another process see that a request is going to write to an upload
// that has not changed for a long time, if that process does not see the lock. Either the sweep
// finds the change (sweep.confirm), or the request finds the side record of the removal.
func (e *engine) makeVisible(u *lockedUpload) error {
	if e.store.Locker.Scope() != ScopeProcess || !e.isOld(&u.info) || u.info.isComplete() {
		return nil
	}
	if err := u.update(u.ctx, func(*FileInfo) error { return nil }); err != nil {
		return err
	}
	_, err := e.store.SideRecords.GetSideRecord(u.ctx, removingKey(&u.info))
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err == nil:
		return ErrUploadLocked.With(errors.New("another process is going to remove the upload, or has just changed its mind"))
	}
	return err
}

// resumeRemovalsLater calls resumeRemovals in the background. If that runs already, it runs once
// more: it may have passed what has to be looked at.
func (e *engine) resumeRemovalsLater(age time.Duration) {
	if e.removalLooks.Add(1) > 1 {
		return
	}
	e.work.Start(func() {
		ended := false
		defer func() {
			if !ended { // a panic
				e.removalLooks.Store(0)
			}
		}()
		for !ended {
			asked := e.removalLooks.Load()
			e.resumeRemovals(e.background, age)
			ended = e.removalLooks.CompareAndSwap(asked, 0) || e.background.Err() != nil
		}
	})
}

// resumeRemovals completes the removals that another process, or this one, has left. It ends
// early if the sink takes no events, or the lock service is unreachable.
func (e *engine) resumeRemovals(ctx context.Context, age time.Duration) {
	refusals := 0
	err := e.eachSideRecordExcept(ctx, kindRemoving, "", e.deliveries.has, func(key SideRecordKey, value []byte) error {
		record, err := e.parseRemovalRecord(ctx, key, value)
		if record == nil || record.Delivery.Dead || e.config.Delivery != nil && !e.isIdle(&record.Delivery, record.Since, age) {
			return err
		}
		var refused bool
		err = guard(func() (err error) {
			refused, err = e.resumeRemoval(ctx, key, record.Upload.ID)
			return err
		})
		if errors.Is(err, ErrLockServiceUnavailable) {
			return err // so would the other removals
		}
		if err != nil && ctx.Err() == nil {
			log := e.workLog(err)
			log.Error("a removal could not be completed, will be tried again", "id", record.Upload.ID, "err", err)
		}
		if refusals++; !refused {
			refusals = 0
		}
		if refusals == maxRefusals {
			return errSinkRefuses
		}
		return ctx.Err()
	})
	if err != nil && ctx.Err() == nil && !errors.Is(err, errSinkRefuses) {
		log := e.workLog(err)
		log.Error("cannot list the removals that are not completed", "err", err)
	}
}

var errSinkRefuses = errors.New("the sink takes no events")

// parseRemovalRecord returns nil for a record that cannot be read, or is not that of its key, and
// deletes it.
func (e *engine) parseRemovalRecord(ctx context.Context, key SideRecordKey, value []byte) (*removalRecord, error) {
	r := new(removalRecord)
	if err := json.Unmarshal(value, r); err != nil || key != removingKey(&r.Upload) {
		e.log.Error("a side record of a removal cannot be read, it is deleted", "name", key.Name, "err", err)
		return nil, e.deleteSideRecord(ctx, key)
	}
	return r, nil
}

// resumeRemoval completes one removal. A removal that has not begun is forgotten: the
// reason for it may not exist any more. refused is true if the sink did not take the event.
func (e *engine) resumeRemoval(ctx context.Context, key SideRecordKey, id string) (refused bool, err error) {
	u, err := e.lock(ctx, id, LockTry)
	if errors.Is(err, ErrUploadLocked) {
		return false, nil // the remover is at work, or a new upload has the id
	}
	if err != nil {
		return false, err
	}
	defer u.release()
	return e.continueRemoval(u, key)
}

// continueRemoval is resumeRemoval under the lock.
func (e *engine) continueRemoval(u *lockedUpload, key SideRecordKey) (refused bool, err error) {
	value, err := e.store.SideRecords.GetSideRecord(u.ctx, key) // it may have gone before this lock was taken
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	r, err := e.parseRemovalRecord(u.ctx, key, value)
	if r == nil {
		return false, err
	}
	err = u.load(e.store.Core)
	switch gone := errors.Is(err, ErrNotFound) && !errors.Is(err, ErrBroken); {
	case r.Removed, gone, err == nil && !u.info.Created.Equal(r.Upload.Created): // what has the id now is another upload
	case errors.Is(err, ErrBroken):
		if err := e.removeFromStore(u); err != nil && !errors.Is(err, ErrNotFound) {
			return false, err
		}
	case err != nil:
		return false, err
	case e.store.Locker.Scope() == ScopeProcess && e.now().Sub(r.Since) < removalTime:
		return false, nil // another process may be at work
	default:
		return false, e.deleteSideRecord(u.ctx, key)
	}
	u.info = r.Upload
	return e.publishRemoval(u, removal{reason: r.Reason, request: r.Delivery.Request}, r, true)
}

// continueBroken completes the removal of the broken upload in u, if a crash has stopped one. It
// looks at all removals that are not in memory: the record, which would tell the key, is broken.
func (e *engine) continueBroken(u *lockedUpload) (found bool, err error) {
	err = e.eachSideRecordExcept(u.ctx, kindRemoving, "", e.deliveries.has, func(key SideRecordKey, value []byte) error {
		var r removalRecord
		if json.Unmarshal(value, &r) != nil || r.Upload.ID != u.id || r.Removed {
			return nil
		}
		if _, err := e.continueRemoval(u, key); err != nil {
			return err
		}
		return errRemovalFound
	})
	if errors.Is(err, errRemovalFound) {
		return true, nil
	}
	return false, err
}

// errRemovalFound stops a listing of side records.
var errRemovalFound = errors.New("the removal is completed")

// publishRemoval publishes that the upload in u was removed. record is that of the removal, or
// nil. It is deleted when all receivers have the event, or the sink has refused it for too
// long. again means that the sink may have refused it before.
func (e *engine) publishRemoval(u *lockedUpload, r removal, record *removalRecord, again bool) (refused bool, err error) {
	ctx := u.lease.Context()
	if e.config.Offline { // another process sends the event
		record.Removed = true
		return false, e.storeRemovalRecord(ctx, record)
	}
	event := Event{Type: r.reason.eventType(), Time: e.now().UTC(), Upload: u.info, HTTPRequest: r.request, Reason: r.reason}
	if record == nil {
		err = e.events.publish(ctx, event)
		e.deliveries.add(event, SideRecordKey{}, event.Time)
		return err != nil, nil
	}
	event.Time = record.Since
	key := removingKey(&record.Upload)
	if !record.Sent {
		err = e.sendRemoval(ctx, event, again)
	}
	if err != nil && e.now().Sub(record.Since) < maxFinishTime {
		if record.Removed {
			return true, nil
		}
		record.Removed = true // an upload that gets the id later is another one
		return true, e.storeRemovalRecord(ctx, record)
	}
	p := newPendingEvent(event, key, record.Delivery.since(record.Since))
	for _, b := range record.Before {
		p.before = append(p.before, b.event(u.info))
	}
	if !record.Delivery.Kept && !e.config.Delivery.keeps(event.Type) && len(p.before) == 0 {
		e.deliveries.add(event, SideRecordKey{}, event.Time)
		return err != nil, e.deleteSideRecord(context.WithoutCancel(ctx), key)
	}
	if e.config.Events != nil && !record.Sent {
		record.Sent, record.Removed = true, true
		if err := e.storeRemovalRecord(ctx, record); err != nil {
			return err != nil, err
		}
	}
	if e.leaves(record) {
		e.leaveEvent(key, u.id)
	} else {
		e.deliveries.insert(p)
	}
	return err != nil, nil
}

// leaves reports whether a server with another configuration has kept an event of a removal that
// this one does not want.
func (e *engine) leaves(record *removalRecord) bool {
	return record.Delivery.Kept && !e.config.Delivery.wants(record.Reason.eventType()) ||
		slices.ContainsFunc(record.Before, func(b earlierEvent) bool { return !e.config.Delivery.wants(b.Type) })
}

// sendRemoval gives the event of a removal to the sink and the subscriptions.
func (e *engine) sendRemoval(ctx context.Context, event Event, again bool) error {
	if again {
		return e.events.sendAgain(ctx, event)
	}
	return e.events.publish(ctx, event)
}

// event returns the event for an upload that was removed. info is its last record.
func (b earlierEvent) event(info FileInfo) *pendingEvent {
	if b.Type == EventPostCreate {
		info.Offset = 0
	}
	return newPendingEvent(Event{Type: b.Type, Time: b.Time, Upload: info, HTTPRequest: b.Request}, SideRecordKey{}, b.Time)
}
