package tusd

import (
	"errors"
	"time"
)

// The delay between two attempts to finish. It doubles.
const (
	minFinishDelay = time.Second
	maxFinishDelay = time.Minute
)

// maxRetries is how many uploads may wait in memory for a retry. Further ones are found
// by their side records once half of these are finished. An upload without a side
// record (no callback is called for it, and its record needs no state) is finished by
// the next request on it.
const maxRetries = 1000

// finishLater finishes an upload in the background, unless that is running already. It
// reports false if too many uploads wait for a retry.
func (e *engine) finishLater(id string) bool {
	return !e.finishing.TryLock(id) || e.retryFinish(id, HTTPRequest{}, 0, false)
}

// retryFinish finishes an upload in the background. The caller has locked id in
// engine.finishing. failed reports that an attempt has failed, which the record of an
// upload without a state does not show. retryFinish reports false if too many uploads
// wait for a retry.
func (e *engine) retryFinish(id string, request HTTPRequest, wait time.Duration, failed bool) bool {
	if e.finishRetries.Add(1) > e.maxFinishRetries {
		e.finishing.Unlock(id)
		e.finishRetries.Add(-1)
		e.finishesLeftOut.Store(true)
		e.resumeLeftFinishes() // the last running retry may have ended just before
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

// finishAgain makes one more attempt and reports whether no other one is needed.
func (e *engine) finishAgain(id string, request HTTPRequest, failed bool) bool {
	u, err := e.lockAndLoad(e.background, id, LockWait)
	if errors.Is(err, ErrNotFound) {
		return e.deleteSideRecord(e.background, finishingKey(id)) == nil
	}
	if err == nil {
		defer u.release()
		failed = failed && u.info.State == "" && u.info.Full()
		if !e.needsFinish(&u.info) && !failed {
			return e.deleteSideRecord(u.ctx, finishingKey(id)) == nil
		}
		_, err = e.tryFinish(u, request)
	}
	if err != nil && !isRefusal(err) {
		if e.background.Err() == nil {
			e.log.Error("finishing failed, will be tried again", "id", id, "err", err)
		}
		return false
	}
	return true
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

// errTooManyRetries stops a listing of side records.
var errTooManyRetries = errors.New("too many uploads wait to be finished")

// resumeLeftFinishes continues with uploads that are known only by their side records,
// if at most half of the retries are in use.
func (e *engine) resumeLeftFinishes() {
	if e.background.Err() != nil || e.finishRetries.Load() > e.maxFinishRetries/2 || !e.finishesLeftOut.CompareAndSwap(true, false) {
		return
	}
	e.work.Start(func() {
		err := e.eachSideRecord(kindFinishing, func(_ SideRecordKey, value []byte) error {
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

// resume continues with the uploads that were being finished, and the finals that were
// not built, when the server stopped.
func (e *engine) resume() {
	e.work.Start(func() {
		err := e.eachSideRecord(kindFinishing, func(_ SideRecordKey, value []byte) error {
			e.finishLater(string(value))
			return nil
		})
		if err != nil && e.background.Err() == nil {
			e.log.Error("cannot list what was being finished when the server stopped", "err", err)
		}
	})
	e.rescanFinals(0)
}
