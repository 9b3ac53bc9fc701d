package tusd

import (
	"errors"
	"time"
)

// The waits between two attempts to finish, doubling.
const (
	minFinishDelay = time.Second
	maxFinishDelay = time.Minute
)

// maxRetries is how many uploads wait for their next attempt in memory. The others
// wait in their side records until half of these are finished. An upload that has
// none (no callback decides about it, and its record needs no state) is finished
// with the next request on it.
const maxRetries = 1000

// finishLater finishes an upload in the background, unless that is going on. It
// reports false if too many wait for that.
func (e *engine) finishLater(id string) bool {
	return !e.finishing.TryLock(id) || e.retryFinish(id, HTTPRequest{}, 0, false)
}

// retryFinish goes on in the background. The caller has locked id. failed
// tells that an attempt has failed, which the record of an upload without a
// state does not show. It reports false if too many uploads wait already.
func (e *engine) retryFinish(id string, request HTTPRequest, wait time.Duration, failed bool) bool {
	if e.finishRetries.Add(1) > e.maxFinishRetries {
		e.finishing.Unlock(id)
		e.finishRetries.Add(-1)
		e.finishesLeftOut.Store(true)
		e.resumeLeftFinishes() // the others may have ended just before
		return false
	}
	request, drop := e.retainRequest(request)
	end := func() {
		drop()
		e.finishing.Unlock(id)
		e.finishRetries.Add(-1)
		e.resumeLeftFinishes()
	}
	started := e.work.Start(func() {
		defer end()
		for e.sleep(wait) && !e.finishAgain(id, request, failed) {
			wait = min(max(2*wait, e.firstRetryDelay), maxFinishDelay)
		}
	})
	if !started {
		end()
	}
	return true
}

// finishAgain makes one more attempt and reports whether there is no need for
// another.
func (e *engine) finishAgain(id string, request HTTPRequest, failed bool) bool {
	h, err := e.lockAndLoad(e.background, id, LockWait)
	if errors.Is(err, ErrNotFound) {
		return e.deleteSideRecord(e.background, finishingKey(id)) == nil
	}
	if err == nil {
		defer h.release()
		failed = failed && h.info.State == "" && h.info.Full()
		if !e.needsFinish(&h.info) && !failed {
			return e.deleteSideRecord(h.ctx, finishingKey(id)) == nil
		}
		_, err = e.tryFinish(h, request)
	}
	if err != nil && !isRefusal(err) {
		e.log.Error("finishing failed, will be tried again", "id", id, "err", err)
		return false
	}
	return true
}

// sleep waits, and reports false if the server closes.
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

// errTooManyRetries ends a listing of side records.
var errTooManyRetries = errors.New("too many uploads wait to be finished")

// resumeLeftFinishes goes on with uploads that were left to their side records, if there
// is room for many.
func (e *engine) resumeLeftFinishes() {
	if e.background.Err() != nil || e.finishRetries.Load() > e.maxFinishRetries/2 || !e.finishesLeftOut.CompareAndSwap(true, false) {
		return
	}
	e.work.Start(func() {
		err := e.eachSideRecord(kindFinishing, func(_ SideKey, value []byte) error {
			if !e.finishLater(string(value)) {
				return errTooManyRetries
			}
			return nil
		})
		if err != nil && !errors.Is(err, errTooManyRetries) && e.background.Err() == nil {
			e.log.Error("cannot list the uploads that are not finished", "err", err)
			e.finishesLeftOut.Store(true)
		}
	})
}

// resume goes on with the uploads that were being finished, and the finals
// that were not built, when the server stopped.
func (e *engine) resume() {
	e.work.Start(func() {
		err := e.eachSideRecord(kindFinishing, func(_ SideKey, value []byte) error {
			e.finishLater(string(value))
			return nil
		})
		if err != nil && e.background.Err() == nil {
			e.log.Error("cannot list what was being finished when the server stopped", "err", err)
		}
	})
	e.rescanFinals(0)
}
