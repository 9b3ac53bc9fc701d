package tusd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// The cleanup of finals that are built, failed or removed: they are removed from the
// records of their partials. If a partial is in use, the builder retries. The final's
// side record stays until no partial names the final, so that a restart continues the
// cleanup.

const (
	// kindRemoved is the kind of the side records that store the partials of a removed
	// final, whose own record is gone.
	kindRemoved = "removed"
	// unregisterTimeout is how long the request that removes a final waits for the
	// cleanup of its partials.
	unregisterTimeout = 2 * time.Second
)

func removedKey(id string) SideRecordKey { return SideRecordKey{Kind: kindRemoved, Name: hashName(id)} }

// unregister ends the work on a final that is built or has failed. again reports that
// one of its partials is in use.
func (e *engine) unregister(f *lockedUpload) (again bool, err error) {
	again, err = e.removeFromPartials(f.ctx, f.id, uniqueIDs(f.info.PartialUploads))
	if again || err != nil {
		return true, err
	}
	return false, e.deleteSideRecord(f.ctx, buildingKey(f.id))
}

// unregisterRemoved does the same for a final that does not exist. The partials with which
// its builder has registered it may name it, and those that its removal has saved.
func (e *engine) unregisterRemoved(f *lockedUpload) (again bool, err error) {
	partials := e.registrations.partialsOf(f.id)
	kept, err := e.savedPartials(f)
	if err != nil {
		return true, err
	}
	again, err = e.removeFromPartials(f.ctx, f.id, uniqueIDs(slices.Concat(partials, kept)))
	if again || err != nil {
		return true, err
	}
	if kept != nil {
		err = e.deleteSideRecord(f.ctx, removedKey(f.id))
	}
	return false, errors.Join(err, e.deleteSideRecord(f.ctx, buildingKey(f.id)))
}

// removeFromPartials removes a final that needs no more work from the records of
// partials. busy reports that one of them is in use. The caller has the final's lock or
// has finished the final.
func (e *engine) removeFromPartials(ctx context.Context, final string, partials []string) (busy bool, err error) {
	e.awaited.remove(final)
	for _, id := range partials {
		inUse, err := e.removeFromPartial(ctx, id, final)
		if err != nil {
			return busy, err
		}
		busy = busy || inUse
	}
	return busy, nil
}

func (e *engine) removeFromPartial(ctx context.Context, partial, final string) (inUse bool, err error) {
	_, info, err := e.peek(ctx, partial)
	if err == nil && !slices.Contains(info.Finals, final) {
		return false, nil
	}
	var p *lockedUpload
	if err == nil {
		p, err = e.lockRecord(ctx, partial, LockTry)
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return false, nil
	case errors.Is(err, ErrUploadLocked):
		return true, nil
	case err != nil:
		return false, err
	}
	defer p.release()
	return false, p.removeFinal(final)
}

// removeFinal removes a final from the record of the partial in u.
func (u *lockedUpload) removeFinal(final string) error {
	if !slices.Contains(u.info.Finals, final) {
		return nil
	}
	err := u.update(u.ctx, func(info *FileInfo) error {
		info.Finals = slices.DeleteFunc(slices.Clone(info.Finals), func(id string) bool { return id == final })
		return nil
	})
	if err != nil {
		return fmt.Errorf("partial upload %s: %w", u.id, err)
	}
	return nil
}

// savePartials stores, before the final in u is removed, the ids of the partials that
// may name it. It reports whether these have to be cleaned up after the removal. For a
// broken record, an earlier removal that was interrupted has stored the ids.
func (e *engine) savePartials(u *lockedUpload) (registered bool, err error) {
	broken := u.upload == nil
	if !u.info.IsFinal && !broken {
		return false, nil
	}
	_, err = e.store.SideRecords.GetSideRecord(u.ctx, buildingKey(u.id))
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil || broken {
		return broken, err
	}
	value, err := partialsThatFit(uniqueIDs(u.info.PartialUploads))
	if err != nil {
		return false, err
	}
	return true, e.store.SideRecords.PutSideRecord(u.ctx, removedKey(u.id), value)
}

// partialsThatFit encodes as many ids as fit into a side record. Others are not cleaned
// up after a restart.
func partialsThatFit(ids []string) ([]byte, error) {
	for {
		value, err := json.Marshal(ids)
		if err != nil || len(value) <= MaxSideRecord {
			return value, err
		}
		ids = ids[:len(ids)/2]
	}
}

// savedPartials reads the ids that savePartials has stored. It returns nil if there are
// none.
func (e *engine) savedPartials(f *lockedUpload) (ids []string, err error) {
	value, err := e.store.SideRecords.GetSideRecord(f.ctx, removedKey(f.id))
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if json.Unmarshal(value, &ids) != nil || ids == nil {
		ids = []string{} // not nil: the malformed side record is deleted, too
	}
	return ids, nil
}

// unregisterSoon removes a removed final from the records of its partials in the
// background. If wait is set, it waits for that a short time. The final's lock is free.
func (e *engine) unregisterSoon(ctx context.Context, id string, wait bool) {
	if !e.builders.tryAcquire() {
		e.rescanFinals(e.lastRebuildDelay)
		return
	}
	e.woken.addRemoved(id)
	tried := make(chan struct{})
	o := e.orderFor(id)
	report := o.report
	o.report = func(out buildOutcome) { close(tried); report(out) }
	if !e.startBuilding(o) || !wait {
		return // without a builder, the other one, or the next, finds that the final is gone
	}
	timer := time.NewTimer(unregisterTimeout)
	defer timer.Stop()
	select {
	case <-tried:
	case <-timer.C:
	case <-ctx.Done():
	}
}
