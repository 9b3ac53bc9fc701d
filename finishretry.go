package tusd

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"time"
)

// Retries of the finisher. Uploads whose finish, or whose event, is not done wait in a
// queue of this process and, if the store keeps them, in side records. The side records
// are read when the handler starts and now and then: so nothing is left to chance after
// a crash, and another process on the same store finishes what this one has left.

// The delay between two attempts to finish. It doubles.
const (
	minFinishDelay = time.Second
	maxFinishDelay = time.Minute
)

const (
	// finishesAtOnce is how many uploads are finished in the background at the same time.
	finishesAtOnce = 16
	// maxFinishTasks is how many uploads may wait in memory. Further ones are found by
	// their side records. An upload without a side record is finished by the next request
	// on it.
	maxFinishTasks = 10_000
	// maxFinishTime is how long attempts are repeated. Afterwards the upload and its side
	// record stay, and each request that needs the upload makes one attempt.
	maxFinishTime = 24 * time.Hour
	// finishLockTimeout is how long an attempt in the background waits for the lock.
	// Requests that hold it are short, except those that receive content, and these
	// finish the upload themselves.
	finishLockTimeout = time.Second
	// rescanInterval is the time between two looks at the side records. A look leaves out
	// the uploads of the last fifth of that time, which have a process that works on them.
	rescanInterval = 5 * time.Minute
)

// kindFinishing is the kind of the side records that name uploads which are being
// finished, or are complete and not told yet.
const kindFinishing = "finishing"

// finishRecord is the value of a side record of kindFinishing.
type finishRecord struct {
	ID    string
	Since time.Time `json:",omitzero"` // of the first attempt
	// Ended is set when the attempts have ended without success.
	Ended bool `json:",omitempty"`
}

// parseFinishRecord decodes a side record. Earlier versions have written the id alone.
func parseFinishRecord(value []byte) finishRecord {
	var r finishRecord
	if json.Unmarshal(value, &r) != nil || r.ID == "" {
		return finishRecord{ID: string(value)}
	}
	return r
}

// finishingKey returns the key of an upload's side record. It has a hash of the id: an
// id may be too long for a key, or contain characters that a key cannot.
func finishingKey(id string) SideRecordKey {
	return SideRecordKey{Kind: kindFinishing, Name: hashName(id)}
}

// storeFinishRecord stores the side record of an upload that this process begins to
// finish, unless the store has it.
func (e *engine) storeFinishRecord(ctx context.Context, id string, t *finishTask) error {
	if t.stored {
		return nil
	}
	t.record.ID = id
	if t.record.Since.IsZero() {
		t.record.Since = e.now().UTC()
	}
	value, err := json.Marshal(t.record)
	if err == nil {
		err = e.store.SideRecords.PutSideRecord(ctx, finishingKey(id), value)
	}
	t.stored = err == nil
	return err
}

// loadFinishRecord reads the side record that an earlier attempt may have left. The
// caller has the lock of the upload.
func (e *engine) loadFinishRecord(ctx context.Context, id string, t *finishTask) error {
	value, err := e.store.SideRecords.GetSideRecord(ctx, finishingKey(id))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err == nil {
		t.record, t.stored = parseFinishRecord(value), true
	}
	return err
}

// removeFinishRecord removes the side record of an upload that is finished and told. If
// that fails, the event is published again after the next start.
func (e *engine) removeFinishRecord(u *lockedUpload, t *finishTask) {
	if !t.stored {
		return
	}
	if err := e.deleteSideRecord(u.lease.Context(), finishingKey(u.id)); err != nil {
		e.log.Warn("cannot remove a side record", "id", u.id, "err", err)
	}
}

// finishLater finishes an upload in the background that is full and not complete.
func (e *engine) finishLater(id string) { e.addFinish(id, &finishTask{}, 0) }

// retryFinish repeats an attempt to finish or to tell, which has failed or panicked.
func (e *engine) retryFinish(id string, t *finishTask) {
	t.wait = e.firstRetryDelay
	t.request, t.drop = e.retainRequest(t.request)
	if t.record.Since.IsZero() {
		t.record.Since = e.now().UTC()
	}
	e.addFinish(id, t, jittered(t.wait))
}

// addFinish adds a task to the queue. If the upload has one, that continues for both.
func (e *engine) addFinish(id string, t *finishTask, wait time.Duration) (added bool) {
	current, ok := e.finishes.Add(id, t, wait)
	switch {
	case !ok:
		e.finishesLeftOut.Store(true)
	case current != t && t.begun.Load():
		current.begun.Store(true)
	}
	if current != t {
		e.endTask(id, t)
	}
	return ok
}

// endTask ends a task of the queue. Its side record stays if it is in the store.
func (e *engine) endTask(id string, t *finishTask) {
	e.endFlight(id, t)
	if t.drop != nil {
		t.drop()
		t.drop = nil
	}
}

// runFinish is the Run of the queue.
func (e *engine) runFinish(id string, t *finishTask, woken bool) (wait time.Duration, again bool) {
	ended := t.record.Ended && t.wait > 0
	err := error(nil)
	if !ended || woken {
		err = e.finishAgain(id, t)
	}
	switch {
	case err == nil, isRefusal(err), e.background.Err() != nil:
		again = false
	case errors.Is(err, errBusy):
		return jittered(e.firstRetryDelay), true
	default:
		again = e.finishFailed(id, t, err)
	}
	if !again {
		e.endTask(id, t)
		e.resumeLeftFinishes()
	}
	return jittered(t.wait), again
}

// finishFailed decides what follows a failed attempt.
func (e *engine) finishFailed(id string, t *finishTask, err error) (again bool) {
	if t.wait = min(max(2*t.wait, e.firstRetryDelay), maxFinishDelay); t.record.Ended {
		e.endFlight(id, t)
		return true // keeps the next attempt away for a while
	}
	e.log.Error("finishing failed, will be tried again", "id", id, "err", err)
	if e.now().Sub(t.record.Since) >= maxFinishTime {
		t.record.Ended, t.stored = true, false
	}
	storeErr := e.storeFinishRecord(e.background, id, t) // so that a restart knows the time of the first attempt
	switch {
	case t.record.Ended && storeErr == nil:
		e.log.Error("finishing has failed for a day, only requests will try it again", "id", id)
		e.endFlight(id, t)
	case t.record.Ended:
		t.record.Ended = false // is tried again with the next attempt
	case storeErr == nil && t.wait == maxFinishDelay && e.finishesLeftOut.Load():
		return false // its place is for an upload that is only in the store; the next look finds this one
	}
	return true
}

// errBusy means that an attempt could not begin: a request uses the upload.
var errBusy = errors.New("a request is using the upload")

// finishAgain makes one more attempt.
func (e *engine) finishAgain(id string, t *finishTask) error {
	if e.running.receiving(id) {
		return errBusy // that request finishes the upload
	}
	u, err := withDurableOffset(e.lockRecordWithin(e.background, id, LockWait, min(finishLockTimeout, e.config.AcquireLockTimeout)))
	switch {
	case errors.Is(err, ErrNotFound):
		return e.deleteSideRecord(e.background, finishingKey(id))
	case errors.Is(err, ErrUploadLocked), errors.Is(err, ErrLockTimeout):
		return errBusy
	case err != nil:
		return err
	}
	defer u.release()
	if !t.stored {
		if err := e.loadFinishRecord(u.lease.Context(), id, t); err != nil {
			return err
		}
	}
	if !t.holds && e.needsFinish(&u.info) {
		if !e.finishing.TryLock(id) {
			return errBusy
		}
		t.holds = true
	}
	if !e.needsFinish(&u.info) && !t.begun.Load() && !t.stored {
		return nil // another attempt has done it
	}
	_, err = e.finishAndTell(u, t)
	return err
}

// sleep waits. It reports false if the server shuts down.
func (e *engine) sleep(wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return e.background.Err() == nil
	case <-e.background.Done():
		return false
	}
}

// errQueueFull stops a listing of side records.
var errQueueFull = errors.New("too many uploads wait to be finished")

// resumeFinishes continues with the uploads that have a side record of this age.
func (e *engine) resumeFinishes(age time.Duration) {
	e.finishesLeftOut.Store(false)
	err := e.eachSideRecord(kindFinishing, func(_ SideRecordKey, value []byte) error {
		r := parseFinishRecord(value)
		if r.Ended || e.now().Sub(r.Since) < age {
			return nil
		}
		if !e.addFinish(r.ID, &finishTask{}, 0) {
			return errQueueFull
		}
		return nil
	})
	if err != nil && !errors.Is(err, errQueueFull) && e.background.Err() == nil {
		e.log.Error("cannot list the uploads that are not finished", "err", err)
		e.finishesLeftOut.Store(true)
	}
}

// resumeLeftFinishes continues with uploads that are known only by their side records,
// if at most half of the queue is in use.
func (e *engine) resumeLeftFinishes() {
	if e.background.Err() != nil || e.finishes.Len() > e.finishes.Capacity/2 || !e.finishesLeftOut.CompareAndSwap(true, false) {
		return
	}
	e.work.Start(func() { e.resumeFinishes(0) })
}

// resume continues with the uploads that were being finished, and the finals that were
// not built, when the server stopped.
func (e *engine) resume() {
	e.work.Start(func() { e.resumeFinishes(0) })
	e.rescanFinals(0)
	e.startRescans()
}

// startRescans lets the handler look at the side records now and then. A timer waits for
// that, not a goroutine, so that a handler that is never shut down leaves none.
func (e *engine) startRescans() {
	e.rescanTimer = time.AfterFunc(math.MaxInt64, func() { e.work.Start(e.rescan) })
	e.rescanTimer.Reset(jittered(e.rescanInterval))
}

func (e *engine) rescan() {
	e.resumeFinishes(e.rescanInterval / 5)
	e.rescanFinals(0)
	if e.background.Err() == nil {
		e.rescanTimer.Reset(jittered(e.rescanInterval))
	}
}
