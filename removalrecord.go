package tusd

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// Records of removals that no request asks for. Such a removal is recorded before the
// store begins it, so that a crash leaves neither half an upload nor an event that was not
// sent: the next look at the side records completes both.

// kindRemoving is the kind of the side records that name uploads which are being removed,
// or are removed and not published yet.
const kindRemoving = "removing"

// removalTime is the longest time between the side record of a removal and the removal, for
// processes that do not see each other's locks.
const removalTime = 10 * time.Minute

func removingKey(id string) SideRecordKey {
	return SideRecordKey{Kind: kindRemoving, Name: hashName(id)}
}

// removalRecord is the value of a side record of kindRemoving.
type removalRecord struct {
	Since  time.Time
	Reason RemovalReason
	Upload FileInfo // as of the removal, for the event
}

// isRecorded reports whether a removal for this reason has a side record. A removal by a
// process that sends no events has one, so that another process sends the event.
func (e *engine) isRecorded(reason RemovalReason) bool {
	return e.config.Offline || reason == RemovedExpired || reason == RemovedForSpace
}

// storeRemovalRecord records that the upload in u is going to be removed. A record that is
// too long is stored without what clients have chosen.
func (e *engine) storeRemovalRecord(u *lockedUpload, reason RemovalReason) error {
	r := removalRecord{e.now().UTC(), reason, u.info}
	value, err := json.Marshal(r)
	if err == nil && len(value) > MaxSideRecord {
		r.Upload.MetaData, r.Upload.RawMetaData, r.Upload.RawConcat = nil, "", ""
		r.Upload.PartialUploads, r.Upload.Finals, r.Upload.Failure = nil, nil, nil
		value, err = json.Marshal(r)
	}
	if err != nil {
		return err
	}
	return e.store.SideRecords.PutSideRecord(u.ctx, removingKey(u.id), value)
}

// forgetRemoval deletes the side record of a removal that has failed, if the upload is whole:
// it may be removed for another reason before the next look at the side records.
func (e *engine) forgetRemoval(u *lockedUpload, r removal) {
	if !r.recorded {
		return
	}
	ctx := u.lease.Context()
	if _, _, err := e.load(ctx, u.id); err == nil {
		if err := e.deleteSideRecord(ctx, removingKey(u.id)); err != nil {
			e.log.Warn("cannot remove a side record", "id", u.id, "err", err)
		}
	}
}

// resumeRemovals completes the removals that another process, or this one, has left.
func (e *engine) resumeRemovals() {
	err := e.eachSideRecord(kindRemoving, "", func(key SideRecordKey, value []byte) error {
		var r removalRecord
		if err := json.Unmarshal(value, &r); err != nil || r.Upload.ID == "" {
			e.log.Error("a side record of a removal cannot be read, it is deleted", "name", key.Name, "err", err)
			return e.deleteSideRecord(e.background, key)
		}
		if err := guard(func() error { return e.resumeRemoval(key, &r) }); err != nil && e.background.Err() == nil {
			e.log.Error("a removal could not be completed, will be tried again", "id", r.Upload.ID, "err", err)
		}
		return e.background.Err()
	})
	if err != nil && e.background.Err() == nil {
		e.log.Error("cannot list the removals that are not completed", "err", err)
	}
}

// resumeRemoval completes one removal. A removal that has not begun is forgotten: the
// reason for it may not exist any more.
func (e *engine) resumeRemoval(key SideRecordKey, r *removalRecord) error {
	u, err := e.lock(e.background, r.Upload.ID, LockTry)
	if errors.Is(err, ErrUploadLocked) {
		return nil // the remover is at work, or a new upload has the id
	}
	if err != nil {
		return err
	}
	defer u.release()
	ctx := u.lease.Context()
	switch err := u.load(e.store.Core); {
	case errors.Is(err, ErrBroken):
		if err := e.removeFromStore(u); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	case err == nil && e.store.Locker.Scope() == ScopeProcess && e.now().Sub(r.Since) < removalTime:
		return nil // another process may be at work
	case err == nil && u.info.Created.Equal(r.Upload.Created):
		return e.deleteSideRecord(ctx, key)
	case err != nil && !errors.Is(err, ErrNotFound):
		return err
	}
	u.info = r.Upload
	return e.publishRemoval(u, removal{reason: r.Reason, recorded: true}, r.Since)
}

// publishRemoval publishes that the upload in u was removed, and deletes the side record
// of the removal when the sink has the event, or has refused it for too long.
func (e *engine) publishRemoval(u *lockedUpload, r removal, since time.Time) error {
	ctx := u.lease.Context()
	if e.config.Offline {
		return nil // the side record tells another process
	}
	event := Event{Type: EventPostTerminate, Upload: u.info, HTTPRequest: r.request, Reason: r.reason}
	if r.reason == RemovedExpired {
		event.Type = EventPostExpire
	}
	err := e.events.publish(ctx, event)
	if !r.recorded || err != nil && e.now().Sub(since) < maxFinishTime {
		return nil
	}
	return e.deleteSideRecord(context.WithoutCancel(ctx), removingKey(u.id))
}
