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
// finished, or are complete and not published yet.
const kindFinishing = "finishing"

// finishRecord is the value of a side record of kindFinishing.
type finishRecord struct {
	ID string
	// Since is the time of the first attempt to finish, or to publish that, or of the request
	// that has made the upload full.
	Since time.Time `json:",omitzero"`
	// Ended is set when the attempts have ended without success.
	Ended bool `json:",omitempty"`
	// Created is that of the upload.
	Created time.Time `json:",omitzero"`
	// Sent is set when the sink has the event, and the record stays for the delivery.
	Sent     bool           `json:",omitempty"`
	Delivery deliveryRecord `json:",omitzero"`
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
func finishingKey(info *FileInfo) SideRecordKey {
	return incarnationKey(kindFinishing, info.ID, info.Created)
}

// storeFinishRecord stores the side record of the upload in u.
func (e *engine) storeFinishRecord(ctx context.Context, u *lockedUpload, t *finishTask) error {
	t.record.ID, t.record.Created = u.id, u.info.Created
	if t.record.Since.IsZero() {
		t.record.Since = e.now().UTC()
	}
	if e.config.Delivery.keeps(EventPostFinish) {
		t.record.Delivery.Kept = true
		if t.request.Method != "" {
			t.record.Delivery.Request = e.config.Delivery.keptRequest(t.request)
		}
	}
	if t.key == (SideRecordKey{}) {
		t.key = finishingKey(&u.info)
	}
	err := e.storeWithRequest(ctx, t.key, &t.record, &t.record.Delivery.Request)
	t.stored = t.stored || err == nil
	return err
}

// renewFinishRecord gives the event of an upload that becomes complete now the whole time
// for its attempts.
func (e *engine) renewFinishRecord(ctx context.Context, u *lockedUpload, t *finishTask) error {
	if !t.stored || !t.record.Ended && e.now().Sub(t.record.Since) < maxFinishTime/24 {
		return nil
	}
	t.record.Since, t.record.Ended = e.now().UTC(), false
	return e.storeFinishRecord(ctx, u, t)
}

// loadFinishRecord reads the side record that an earlier attempt may have left for the upload
// in u.
func (e *engine) loadFinishRecord(ctx context.Context, u *lockedUpload, t *finishTask) (found bool, err error) {
	if t.key == (SideRecordKey{}) {
		t.key = finishingKey(&u.info)
	}
	value, err := e.store.SideRecords.GetSideRecord(ctx, t.key)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	r := parseFinishRecord(value)
	if !r.Created.IsZero() && !r.Created.Equal(u.info.Created) { // of an upload that had the id before
		old := t.key
		t.key = SideRecordKey{}
		return false, e.deleteSideRecord(ctx, old)
	}
	t.record, t.stored = r, true
	if t.request.Method == "" {
		t.request = t.record.Delivery.Request
	}
	return true, nil
}

// removeFinishRecord removes the side record of an upload that is finished and
// published. If that fails, the event is sent again later.
func (e *engine) removeFinishRecord(u *lockedUpload, t *finishTask) {
	if !t.stored {
		return
	}
	if err := e.deleteSideRecord(u.lease.Context(), t.key); err != nil {
		e.log.Warn("cannot remove a side record", "id", u.id, "err", err)
	}
}

// finishLater finishes an upload in the background that is full and not complete.
func (e *engine) finishLater(id string) { e.addFinish(id, &finishTask{}, 0) }

// retryFinish repeats an attempt to finish or to publish, which has failed or panicked.
func (e *engine) retryFinish(id string, t *finishTask) {
	t.wait = e.firstRetryDelay
	t.request, t.drop = e.retainRequest(t.request)
	e.addFinish(id, t, jittered(t.wait))
}

// addFinish adds a task to the queue. If the upload has one, that continues for both. It
// reports false if the queue is full.
func (e *engine) addFinish(id string, t *finishTask, wait time.Duration) (added bool) {
	begun := t.begun.Load()
	current, ok := e.finishes.Add(id, t, wait)
	switch {
	case !ok:
		e.finishesLeftOut.Store(true)
		e.endTask(id, t)
	case current != t && begun: // a look at the side records was faster than this attempt
		e.unlockFinishing(id, t)
		current.begun.Store(true)
		if older := current.other.Swap(t); older != nil {
			e.endTask(id, older)
		}
	case current != t:
		e.endTask(id, t)
	}
	return ok
}

// takeOver lets the task continue for the one that has ended in its favour. The caller has
// the lock of the upload in u.
func (e *engine) takeOver(u *lockedUpload, t *finishTask) {
	other := t.other.Swap(nil)
	if other == nil {
		return
	}
	if other.created.Equal(u.info.Created) {
		t.counted, t.offered = t.counted || other.counted, t.offered || other.offered
		if t.drop == nil {
			t.request, t.drop = other.request, other.drop
			other.drop = nil
		}
	}
	e.endTask(u.id, other)
}

// endTask ends a task of the queue. Its side record stays if it is in the store.
func (e *engine) endTask(id string, t *finishTask) {
	e.unlockFinishing(id, t)
	if t.drop != nil {
		t.drop()
		t.drop = nil
	}
}

// runFinish is the Run of the queue.
func (e *engine) runFinish(id string, t *finishTask, woken bool) (wait time.Duration, again bool) {
	var err error
	if !t.hasEnded() || woken {
		err = guard(func() error { return e.finishAgain(id, t) })
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

// hasEnded reports whether only a request lets the task make another attempt.
func (t *finishTask) hasEnded() bool { return t.record.Ended && t.wait > 0 }

// finishFailed decides what follows a failed attempt. A task whose attempts have ended
// stays in the queue for one more wait, which keeps away further attempts.
func (e *engine) finishFailed(id string, t *finishTask, err error) (again bool) {
	t.wait = min(max(2*t.wait, e.firstRetryDelay), maxFinishDelay)
	log := e.workLog(err)
	switch {
	case t.record.Ended:
		log.Error("finishing has failed for a day, only requests will try it again", "id", id, "err", err)
		e.unlockFinishing(id, t)
	case t.stored && t.wait == maxFinishDelay && e.finishesLeftOut.Load():
		return false // its place is for an upload that is only in the store; a later look at the side records finds this one
	case !errors.Is(err, errUnpublished): // that is logged already
		log.Error("finishing failed, will be tried again", "id", id, "err", err)
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
	u, err := e.lockWithin(e.background, id, LockWait, min(finishLockTimeout, e.config.AcquireLockTimeout))
	if errors.Is(err, ErrUploadLocked) || errors.Is(err, ErrLockTimeout) {
		return errBusy
	}
	if err != nil {
		return err
	}
	defer u.release()
	ctx := u.lease.Context()
	err = u.load(e.store.Core)
	if errors.Is(err, ErrNotFound) {
		return e.forgetFinish(ctx, id, t)
	}
	if err == nil {
		err = u.makeDurable()
	}
	if err != nil {
		return err
	}
	due, err := e.isDue(u, t)
	if err != nil || !due {
		return err
	}
	if _, err = e.finishAndPublish(u, t); err != nil && !isRefusal(err) {
		e.recordAttempt(ctx, u, t)
	}
	return err
}

// forgetFinish deletes the side record of an upload that does not exist.
func (e *engine) forgetFinish(ctx context.Context, id string, t *finishTask) error {
	switch {
	case t.key == (SideRecordKey{}) && t.created.IsZero():
		return nil // a look at the side records finds it
	case t.key == (SideRecordKey{}):
		t.key = finishingKey(&FileInfo{ID: id, Created: t.created})
	}
	return e.deleteSideRecord(ctx, t.key)
}

// isDue prepares another attempt for the upload in u. It reports false if there is nothing
// to do any more.
func (e *engine) isDue(u *lockedUpload, t *finishTask) (due bool, err error) {
	if !t.created.IsZero() && !t.created.Equal(u.info.Created) { // the upload was removed, and a new one has its id
		e.endTask(u.id, t)
		t.reset()
		t.request = HTTPRequest{}
	}
	t.created = u.info.Created
	e.takeOver(u, t)
	had := t.stored
	found, err := e.loadFinishRecord(u.lease.Context(), u, t)
	if err != nil {
		return false, err
	}
	t.stored = found
	switch {
	case !e.needsFinish(&u.info):
		if had && !found {
			return false, nil // another process has finished it and published that
		}
		return found || t.begun.Load(), nil
	case !t.holds && !e.finishing.TryLock(u.id):
		return false, errBusy
	}
	t.holds = true
	return true, nil
}

// recordAttempt stores a side record after a failed attempt if there is none, so that a
// restart knows when the attempts began, and when they end.
func (e *engine) recordAttempt(ctx context.Context, u *lockedUpload, t *finishTask) {
	ends := !t.record.Ended && !t.record.Since.IsZero() && e.now().Sub(t.record.Since) >= maxFinishTime
	if t.stored && !ends && !t.record.Since.IsZero() {
		return
	}
	t.record.Ended = t.record.Ended || ends
	if err := e.storeFinishRecord(ctx, u, t); err != nil && ends {
		t.record.Ended = false // the next attempt tries it again
	}
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

// resumeFinishes continues with the uploads that have a side record of this age. If the
// queue gets full, the next call begins behind the last upload that found a place.
func (e *engine) resumeFinishes(age time.Duration) {
	e.resuming.Lock()
	defer e.resuming.Unlock()
	e.finishesLeftOut.Store(false)
	start := e.resumeCursor
	e.resumeCursor = ""
	add := func(key SideRecordKey, value []byte) error {
		r := parseFinishRecord(value)
		if err := ValidateID(r.ID); err != nil {
			e.log.Error("a side record of a finish cannot be read, it is deleted", "name", key.Name, "err", err)
			return e.deleteSideRecord(e.background, key)
		}
		if r.Ended || !e.isIdle(&r.Delivery, r.Since, age) {
			return nil
		}
		if !e.addFinish(r.ID, &finishTask{key: key}, 0) {
			return errQueueFull
		}
		e.resumeCursor = key.Name
		return nil
	}
	err := e.eachSideRecordExcept(e.background, kindFinishing, start, e.deliveries.has, add)
	if err == nil && start != "" {
		err = e.eachSideRecordExcept(e.background, kindFinishing, "", e.deliveries.has, add)
	}
	switch {
	case errors.Is(err, errQueueFull):
		return
	case err != nil && e.background.Err() == nil:
		e.log.Error("cannot list the uploads that are not finished", "err", err)
		e.finishesLeftOut.Store(true)
	}
	e.resumeCursor = ""
}

// resumeLeftFinishes continues with uploads that are known only by their side records,
// if at most half of the queue is in use.
func (e *engine) resumeLeftFinishes() {
	if e.background.Err() != nil || e.finishes.Len() > e.finishes.Capacity/2 || !e.finishesLeftOut.CompareAndSwap(true, false) {
		return
	}
	e.work.Start(func() { e.resumeFinishes(0) })
}

// resume continues with the uploads that were being finished, the events that were not
// delivered, and the finals that were not built, when the server stopped.
func (e *engine) resume() {
	var age time.Duration
	if e.config.Delivery != nil {
		age = e.leastIdleAge()
	}
	e.work.Start(func() { e.resumeDeliveries(age) })
	e.rescanFinals(0)
	e.startRescans(age)
}

const (
	// firstRescanAge is the age of the side records that a server adopts at its start, and soon
	// afterwards, if other servers may be at work.
	firstRescanAge = 10 * time.Second
	firstRescan    = 30 * time.Second
)

// startRescans lets the handler look at the side records now and then. A timer waits for
// that, not a goroutine, so that a handler that is never shut down leaves none. If age is not
// 0, the first look comes soon, at what has that age.
func (e *engine) startRescans(age time.Duration) {
	wait := e.rescanInterval
	if age > 0 {
		wait = min(wait, firstRescan)
	}
	first := true
	e.rescanTimer = time.AfterFunc(math.MaxInt64, func() {
		if !first || age == 0 {
			age = e.rescanInterval / 5
		}
		first = false
		e.work.Start(func() { e.rescan(age) })
	})
	e.rescanTimer.Reset(jittered(wait))
}

func (e *engine) rescan(age time.Duration) {
	defer func() { // after a panic of the store, too
		if e.background.Err() == nil {
			e.rescanTimer.Reset(jittered(e.rescanInterval))
		}
	}()
	e.resumeDeliveries(age)
	e.rescanFinals(0)
}
