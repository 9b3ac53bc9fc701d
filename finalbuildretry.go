package tusd

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Builders: how many work at the same time, and when a build is retried.

// Limits and delays of builders.
const (
	// buildsAtOnce is how many finals are built at the same time.
	buildsAtOnce = 16
	// maxBuilders is how many finals may wait for their first attempt; further requests
	// are refused. maxRetrying is how many may wait for a retry; rescanFinals finds the
	// others.
	maxBuilders = 1000
	maxRetrying = 1000

	// The delay between two attempts to register a final with busy partials. It
	// doubles.
	minRegisterDelay = 50 * time.Millisecond
	maxRegisterDelay = 5 * time.Second
	// maxRebuildDelay is the longest delay after a failed attempt, and the delay
	// between two scans. The first delay is engine.firstRetryDelay.
	maxRebuildDelay = 5 * time.Minute
)

// semaphore limits how many goroutines do something at the same time.
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

// acquire waits for a slot. It reports false if ctx ends first.
func (s semaphore) acquire(ctx context.Context) bool {
	select {
	case s <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// buildOrder describes a final that is to be built.
type buildOrder struct {
	id      string
	request HTTPRequest
	full    bool // all its partials were full when it was created: the first attempt need not look at them
	// reserved is set when engine.building is locked for this builder.
	reserved bool
	// partials are the ids of its partials, as far as they are known without its
	// record. They are registered until the work on the final ends.
	partials []string
	// report is called once, with the outcome of the first attempt. If no retry
	// follows, the final is no longer in engine.building then, except after abandon
	// or a panic.
	report func(buildOutcome)
	// abandon, if not nil, is called after a first attempt that failed and could be
	// retried. If it returns true, it has removed the final.
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

// orderFor returns the order to build a final that no request waits for.
func (e *engine) orderFor(id string, partials ...string) buildOrder {
	return buildOrder{id: id, partials: partials, report: func(o buildOutcome) {
		if o.err != nil && e.background.Err() == nil {
			log := e.workLog(o.err)
			log.Error("building a final upload failed", "id", id, "err", o.err)
		}
	}}
}

// startBuilding starts a builder in the background, unless the final has one. The
// builder works until the final is built, has failed, or is registered with all its
// partials. The caller has acquired builders; startBuilding releases it. It reports
// whether it started a builder.
func (e *engine) startBuilding(o buildOrder) bool {
	if !o.reserved && !e.building.TryLock(o.id) {
		e.builders.release()
		return false
	}
	noted, _ := e.woken.remove(o.id) // this builder sees what has happened until now
	o.partials = slices.Concat(o.partials, noted.partials)
	e.registrations.add(o.id, o.partials...)
	id := o.id
	var drop func()
	o.request, drop = e.retainRequest(o.request)
	end := sync.OnceFunc(func() {
		drop()
		e.registrations.remove(id)
		e.building.Unlock(id)
	})
	started := e.work.Start(func() {
		defer end()
		e.runBuilder(&o, end)
	})
	if !started {
		end()
		e.builders.release()
	}
	return started
}

// runBuilder is the work of one builder. It calls end, which unlocks the final in
// engine.building, when another builder may work on it.
func (e *engine) runBuilder(o *buildOrder, end func()) {
	res, again, err := e.firstBuild(o)
	retried := again && e.retrying.tryAcquire()
	switch {
	case retried:
		o.reportOnce(buildOutcome{res, err})
		res, err = e.buildAgain(*o, err)
		end()
	case again:
		o.reportOnce(buildOutcome{res, err})
		end()
		e.rescanFinals(e.lastRebuildDelay) // after end: it leaves out finals that have a builder
	default:
		end()
		o.reportOnce(buildOutcome{res, err})
	}
	waits := err == nil && res.info == nil
	if noted, woken := e.woken.remove(o.id); noted.removed || woken && waits { // since this builder has looked
		e.wakeFinal(o.id, noted.partials...)
	}
}

// firstBuild makes the first attempt. If it fails for lack of space, it lets the request
// remove the final, and removes the final from the records of its partials. If all slots
// are taken, the request is answered before that.
func (e *engine) firstBuild(o *buildOrder) (res operationResult, again bool, err error) {
	defer e.builders.release()
	panicked := true
	defer func() {
		if panicked {
			o.reportOnce(buildOutcome{err: ErrInternal}) // the request would wait for ever
		}
	}()
	res, again, err = e.buildWithSlot(*o)
	if again && err != nil && o.abandon != nil && o.abandon(err, o.request) {
		if e.builds.tryAcquire() {
			_, again, _ = e.buildInSlot(*o)
		} else {
			o.reportOnce(buildOutcome{res, err})
			_, again, _ = e.buildWithSlot(*o)
		}
	}
	panicked = false
	return res, again, err
}

// reportOnce reports the outcome of the first attempt, and drops what only the request
// needs. Later calls do nothing.
func (o *buildOrder) reportOnce(outcome buildOutcome) {
	if o.report != nil {
		o.report(outcome)
		o.report, o.abandon = nil, nil
	}
}

// buildAgain retries a build until no attempt is needed any more, and returns the
// outcome of the last one. err is the error of the previous attempt. The delay is short
// if a partial was busy, and grows longer if attempts fail. The caller has acquired
// retrying; buildAgain releases it.
func (e *engine) buildAgain(o buildOrder, err error) (operationResult, error) {
	defer e.retrying.release()
	o.full = false // the first attempt may have found a partial that was not full any more
	busy, failing := minRegisterDelay, e.firstRetryDelay
	var res operationResult
	for again := true; again; {
		wait, most := &busy, maxRegisterDelay
		if err != nil {
			wait, most = &failing, e.lastRebuildDelay
		}
		if !e.sleep(jittered(*wait)) {
			return res, ErrServerShutdown
		}
		*wait = min(2**wait, most)
		if res, again, err = e.buildWithSlot(o); err != nil && e.background.Err() == nil {
			log := e.workLog(err)
			log.Error("building a final upload failed", "id", o.id, "again", again, "err", err)
		}
	}
	return res, err
}

// jittered returns a random time between half of wait and wait, so that finals that
// failed together are not retried together.
func jittered(wait time.Duration) time.Duration {
	return wait/2 + rand.N(wait/2+1)
}

// buildWithSlot calls build as soon as a slot is free.
func (e *engine) buildWithSlot(o buildOrder) (res operationResult, again bool, err error) {
	if !e.builds.acquire(e.background) {
		return operationResult{}, true, ErrServerShutdown
	}
	return e.buildInSlot(o)
}

// buildInSlot calls build and releases builds, which the caller has acquired.
func (e *engine) buildInSlot(o buildOrder) (res operationResult, again bool, err error) {
	defer e.builds.release()
	return e.build(o)
}

// rescanFinals starts, after a delay, builders for all unbuilt finals that have none.
// It repeats this while finals are left out.
func (e *engine) rescanFinals(wait time.Duration) {
	e.finalsLeftOut.Store(true)
	if !e.listingFinals.CompareAndSwap(false, true) {
		return
	}
	started := e.work.Start(func() {
		for {
			for e.finalsLeftOut.Load() && e.sleep(wait) {
				e.finalsLeftOut.Store(false)
				if err := guard(e.buildUnbuilt); err != nil && e.background.Err() == nil {
					e.log.Error("cannot list the final uploads that are not built", "err", err)
					e.finalsLeftOut.Store(true)
				}
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

// buildUnbuilt starts builders for all unbuilt finals that have none and need one.
func (e *engine) buildUnbuilt() error {
	err := e.eachSideRecord(e.background, kindBuilding, "", func(_ SideRecordKey, value []byte) error {
		id := string(value)
		_, info, _ := e.peek(e.background, id) // the builder handles the error
		partials := uniqueIDs(info.PartialUploads)
		switch {
		case e.building.Locked(id):
			e.registrations.add(id, partials...) // the builder may not have read them yet; it removes this
		case e.isWaiting(e.background, id): // it is registered with all its partials
		case e.builders.acquire(e.background):
			e.startBuilding(e.orderFor(id, partials...))
		}
		return e.background.Err()
	})
	if err == nil {
		e.finalsListed.Store(true)
	}
	return err
}
