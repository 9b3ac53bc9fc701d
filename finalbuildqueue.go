package tusd

import (
	"context"
	"math/rand/v2"
	"time"
)

// Who works on final uploads, how many at a time, and when again.

// What bounds the builders, and how they try again.
const (
	// buildsAtOnce is how many finals are worked on at the same time.
	buildsAtOnce = 16
	// maxBuilders is how many finals may wait for their first attempt; more are
	// refused. maxRetrying is how many may wait for a later one; the others are
	// left to a sweep.
	maxBuilders = 1000
	maxRetrying = 1000

	// The waits between two attempts to tell busy partials who waits for them,
	// doubling.
	minRegisterDelay = 50 * time.Millisecond
	maxRegisterDelay = 5 * time.Second
	// maxRebuildDelay is the longest wait after an attempt that failed, and the one
	// between two sweeps. The first one is engine.retry.
	maxRebuildDelay = 5 * time.Minute
)

// semaphore bounds how many do something at the same time.
type semaphore chan struct{}

func (s semaphore) release() { <-s }

func (s semaphore) tryAcquire() bool {
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

// acquire waits for a slot, and reports false if ctx ends first.
func (s semaphore) acquire(ctx context.Context) bool {
	select {
	case s <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// buildOrder is a final that is to be built.
type buildOrder struct {
	id      string
	request HTTPRequest
	full    bool // whether all its partials are known to be full, which they stay
	// partials are its partials as far as they are known without its record. It
	// needs them until it is over.
	partials []string
	// report is told once what came of the first attempt; if that was the last
	// one, when the final is no longer busy.
	report func(buildOutcome)
	// abandon, if not nil, is asked after a first attempt that failed and could
	// be repeated. If it reports true, the final is gone.
	abandon func(error, HTTPRequest) bool
}

// buildLater builds a final in the background. It reports false if there are
// too many builders.
func (e *engine) buildLater(id string, partials ...string) bool {
	if e.building.Locked(id) {
		return true
	}
	if !e.builders.tryAcquire() {
		return false
	}
	e.startBuilding(e.orderFor(id, partials...))
	return true
}

// orderFor is the order to build a final that no request waits for.
func (e *engine) orderFor(id string, partials ...string) buildOrder {
	return buildOrder{id: id, partials: partials, report: func(o buildOutcome) {
		if o.err != nil && e.background.Err() == nil {
			e.log.Error("building a final upload failed", "id", id, "err", o.err)
		}
	}}
}

// startBuilding works on a final in the background, unless a builder does:
// until it is built, has failed, or all its partials know that it waits for
// them. The caller has entered builders; startBuilding leaves it.
func (e *engine) startBuilding(o buildOrder) bool {
	if !e.building.TryLock(o.id) {
		e.builders.release()
		return false
	}
	e.registrations.add(o.id, o.partials...)
	var drop func()
	o.request, drop = e.retainRequest(o.request)
	started := e.work.Start(func() {
		afterwards := func() {}
		defer func() {
			drop()
			e.registrations.remove(o.id)
			e.building.Unlock(o.id)
			afterwards()
		}()
		res, again, err := e.firstBuild(o)
		if !again {
			afterwards = func() { o.report(buildOutcome{res, err}) }
			return
		}
		o.report(buildOutcome{res, err})
		o.report, o.abandon = nil, nil // they lead to the outcome and its record
		e.buildAgain(o, err)
	})
	if !started {
		drop()
		e.registrations.remove(o.id)
		e.building.Unlock(o.id)
		e.builders.release()
	}
	return started
}

func (e *engine) firstBuild(o buildOrder) (res operationResult, again bool, err error) {
	defer e.builders.release()
	res, again, err = e.buildWithSlot(o)
	if again && err != nil && o.abandon != nil && o.abandon(err, o.request) {
		_, again, _ = e.buildWithSlot(o) // its partials forget it
	}
	return res, again, err
}

// buildAgain repeats attempts, the last of which ended with err: soon if a
// partial was busy, after longer and longer if something failed.
func (e *engine) buildAgain(o buildOrder, err error) {
	if !e.retrying.tryAcquire() {
		e.rescanFinals(e.lastRebuildDelay)
		return
	}
	defer e.retrying.release()
	busy, failing := minRegisterDelay, e.firstRetryDelay
	for again := true; again; {
		wait, most := &busy, maxRegisterDelay
		if err != nil {
			wait, most = &failing, e.lastRebuildDelay
		}
		if !e.sleep(jittered(*wait)) {
			return
		}
		*wait = min(2**wait, most)
		if _, again, err = e.buildWithSlot(o); err != nil && e.background.Err() == nil {
			e.log.Error("building a final upload failed", "id", o.id, "again", again, "err", err)
		}
	}
}

// jittered is a random time of at least half of wait: finals that failed
// together are not tried again together.
func jittered(wait time.Duration) time.Duration {
	return wait/2 + rand.N(wait/2+1)
}

// buildWithSlot is build when its turn has come.
func (e *engine) buildWithSlot(o buildOrder) (res operationResult, again bool, err error) {
	if !e.builds.acquire(e.background) {
		return operationResult{}, true, ErrServerShutdown
	}
	defer e.builds.release()
	return e.build(o)
}

// rescanFinals builds, after a wait, all finals that are not built, as far as
// no builder does. While finals are left out, it is repeated.
func (e *engine) rescanFinals(wait time.Duration) {
	e.finalsLeftOut.Store(true)
	if !e.listingFinals.CompareAndSwap(false, true) {
		return
	}
	started := e.work.Start(func() {
		for {
			for e.finalsLeftOut.Load() && e.sleep(wait) {
				e.finalsLeftOut.Store(false)
				e.buildUnbuilt()
				if e.finalsLeftOut.Load() {
					wait = e.lastRebuildDelay
				}
			}
			e.listingFinals.Store(false)
			if e.background.Err() != nil || !e.finalsLeftOut.Load() || !e.listingFinals.CompareAndSwap(false, true) {
				return
			}
		}
	})
	if !started {
		e.listingFinals.Store(false)
	}
}

func (e *engine) buildUnbuilt() {
	err := e.eachSideRecord(kindBuilding, func(_ SideKey, value []byte) error {
		id := string(value)
		if !e.building.Locked(id) && e.builders.acquire(e.background) {
			_, info, _ := e.peek(e.background, id) // its builder sees what is wrong
			e.startBuilding(e.orderFor(id, uniqueIDs(info.PartialUploads)...))
		}
		return e.background.Err()
	})
	switch {
	case err == nil:
		e.finalsListed.Store(true)
	case e.background.Err() == nil:
		e.log.Error("cannot list the final uploads that are not built", "err", err)
		e.finalsLeftOut.Store(true)
	}
}
