package tusd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"
)

// The builder of final uploads. It may be started as often as one likes and
// by anybody: at most one works on a final at a time, in the background, and
// what it has begun it, or a later one, brings to an end.

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
	firstNaming = 50 * time.Millisecond
	lastNaming  = 5 * time.Second
	// lastRebuild is the longest wait after an attempt that failed, and the one
	// between two sweeps. The first one is engine.retry.
	lastRebuild = 5 * time.Minute
)

// slots bounds how many do something at the same time.
type slots chan struct{}

func (s slots) leave() { <-s }

func (s slots) tryEnter() bool {
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

// enter waits for a slot, and reports false if ctx ends first.
func (s slots) enter(ctx context.Context) bool {
	select {
	case s <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// order is a final that is to be built.
type order struct {
	id      string
	request HTTPRequest
	full    bool // whether all its partials are known to be full, which they stay
	// report is told once what came of the first attempt; if that was the last
	// one, when the final is no longer busy.
	report func(outcome)
	// abandon, if not nil, is asked after a first attempt that failed and could
	// be repeated. If it reports true, the final is gone.
	abandon func(error) bool
}

// buildLater builds a final in the background. It reports false if there are
// too many builders.
func (e *engine) buildLater(id string) bool {
	if e.building.busy(id) {
		return true
	}
	if !e.builders.tryEnter() {
		return false
	}
	e.startBuilding(e.orderFor(id))
	return true
}

// orderFor is the order to build a final that no request waits for.
func (e *engine) orderFor(id string) order {
	return order{id: id, report: func(o outcome) {
		if o.err != nil && e.background.Err() == nil {
			e.log.Error("building a final upload failed", "id", id, "err", o.err)
		}
	}}
}

// startBuilding works on a final in the background, unless a builder does:
// until it is built, has failed, or all its partials know that it waits for
// them. The caller has entered builders; startBuilding leaves it.
func (e *engine) startBuilding(o order) bool {
	if !e.building.enter(o.id) {
		e.builders.leave()
		return false
	}
	var drop func()
	o.request, drop = e.keepRequest(o.request)
	started := e.work.start(func() {
		afterwards := func() {}
		defer func() {
			drop()
			e.naming.forget(o.id)
			e.building.leave(o.id)
			afterwards()
		}()
		res, again, err := e.firstBuild(o)
		if !again {
			afterwards = func() { o.report(outcome{res, err}) }
			return
		}
		o.report(outcome{res, err})
		o.report, o.abandon = nil, nil // they lead to the outcome and its record
		e.buildAgain(o, err)
	})
	if !started {
		drop()
		e.building.leave(o.id)
		e.builders.leave()
	}
	return started
}

func (e *engine) firstBuild(o order) (res result, again bool, err error) {
	defer e.builders.leave()
	res, again, err = e.buildInTurn(o)
	if again && err != nil && o.abandon != nil && o.abandon(err) {
		again = false
	}
	return res, again, err
}

// buildAgain repeats attempts, the last of which ended with err: soon if a
// partial was busy, after longer and longer if something failed.
func (e *engine) buildAgain(o order, err error) {
	if !e.retrying.tryEnter() {
		e.sweepPending(e.rebuild)
		return
	}
	defer e.retrying.leave()
	busy, failing := firstNaming, e.retry
	for again := true; again; {
		wait, most := &busy, lastNaming
		if err != nil {
			wait, most = &failing, e.rebuild
		}
		if !e.pause(jittered(*wait)) {
			return
		}
		*wait = min(2**wait, most)
		if _, again, err = e.buildInTurn(o); err != nil && e.background.Err() == nil {
			e.log.Error("building a final upload failed", "id", o.id, "again", again, "err", err)
		}
	}
}

// jittered is a random time of at least half of wait: finals that failed
// together are not tried again together.
func jittered(wait time.Duration) time.Duration {
	return wait/2 + rand.N(wait/2+1)
}

// buildInTurn is build when its turn has come.
func (e *engine) buildInTurn(o order) (res result, again bool, err error) {
	if !e.builds.enter(e.background) {
		return result{}, true, ErrServerShutdown
	}
	defer e.builds.leave()
	return e.build(o)
}

// sweepPending builds, after a wait, all finals that are not built, as far as
// no builder does. While finals are left out, it is repeated.
func (e *engine) sweepPending(wait time.Duration) {
	e.pending.Store(true)
	if !e.sweeping.CompareAndSwap(false, true) {
		return
	}
	started := e.work.start(func() {
		for {
			for e.pending.Load() && e.pause(wait) {
				e.pending.Store(false)
				e.buildPending()
				if e.pending.Load() {
					wait = e.rebuild
				}
			}
			e.sweeping.Store(false)
			if e.background.Err() != nil || !e.pending.Load() || !e.sweeping.CompareAndSwap(false, true) {
				return
			}
		}
	})
	if !started {
		e.sweeping.Store(false)
	}
}

func (e *engine) buildPending() {
	err := e.eachSide(kindBuilding, func(_ SideKey, value []byte) error {
		id := string(value)
		if !e.building.busy(id) && e.builders.enter(e.background) {
			e.startBuilding(e.orderFor(id))
		}
		return e.background.Err()
	})
	if err != nil && e.background.Err() == nil {
		e.log.Error("cannot list the final uploads that are not built", "err", err)
	}
}

// build does for a final what can be done now: join its partials and finish
// it if all are full, else make sure that they know who waits for them. again
// tells that it has to be called once more: a partial could not be told
// because a request was using it, or something failed that may not fail again.
func (e *engine) build(o order) (res result, again bool, err error) {
	f, err := e.hold(e.background, o.id, LockWait)
	if errors.Is(err, ErrNotFound) {
		return result{}, false, e.forgetSide(e.background, buildingKey(o.id)) // terminated
	}
	if err != nil {
		return result{}, true, err
	}
	defer f.release()
	if f.info.State == StateFailed || f.info.Complete() {
		return result{info: &f.info}, false, e.forgetSide(f.ctx, buildingKey(o.id))
	}
	full, busy, err := e.gather(f, o.full)
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrUploadFailed):
		return result{}, false, errors.Join(err, e.failFinal(f, "a partial upload is gone or has failed"))
	case errors.Is(err, ErrMaxSizeExceeded):
		return result{}, false, errors.Join(err, e.failFinal(f, "the partial uploads are larger together than this server allows"))
	case err != nil && e.overdue(f):
		err = errors.Join(err, e.failFinal(f, "it could not be built in a day"))
		return result{}, f.info.State != StateFailed, err
	case err != nil || !full:
		return result{}, busy || err != nil, err
	}
	res, err = e.finish(f, o.request) // which repeats itself if it has to
	if err == nil {
		err = e.forgetSide(e.background, buildingKey(o.id))
	}
	return res, false, err
}

// overdue reports whether a final that fails again and again has been tried
// for long enough. The creation counts, so that a restart does not begin anew.
// Records of tusd v2 do not tell it.
func (e *engine) overdue(f *hold) bool {
	return !f.info.Created.IsZero() && e.now().Sub(f.info.Created) >= maxFinalWait
}

// gather makes the final full, if its partials are. known tells that they are.
// busy tells that one of them could not be told who waits for it.
func (e *engine) gather(f *hold, known bool) (full, busy bool, err error) {
	if full = known; !full {
		full, busy, err = e.tellPartials(f)
	}
	if err == nil && full && !f.info.Full() {
		err = e.join(f)
	}
	return full, busy, err
}

// tellPartials makes sure that the partials know that the final waits for them,
// unless all are full.
func (e *engine) tellPartials(f *hold) (full, busy bool, err error) {
	open, err := e.findOpen(f)
	if err == nil && open != "" {
		if busy, err = e.nameFinal(f); err == nil && !busy {
			open, err = e.findOpen(f) // the last one may have become full before it was told
		}
	}
	if err == nil && !busy && open != "" {
		e.awaited.remember(f.id, open)
	}
	return err == nil && open == "", busy, err
}

// findOpen returns the id of a partial that does not have all its bytes, or ""
// if all have. It takes no locks: a partial that is full stays so.
func (e *engine) findOpen(f *hold) (string, error) {
	for _, id := range distinct(f.info.PartialUploads) {
		_, info, err := e.peek(f.ctx, id)
		if err == nil && info.State == StateFailed {
			err = ErrUploadFailed
		}
		if err != nil || !info.Full() {
			return id, err
		}
	}
	return "", nil
}

// nameFinal writes into the record of each partial that the final waits for
// it. Uploads go on meanwhile: a partial that is being used is only noted in
// memory, and busy says that there is one.
func (e *engine) nameFinal(f *hold) (busy bool, err error) {
	for _, id := range distinct(f.info.PartialUploads) {
		p, err := e.hold(f.ctx, id, LockTry)
		if errors.Is(err, ErrUploadLocked) {
			e.naming.note(f.id, id)
			busy = true
			continue
		}
		if err != nil {
			return busy, err
		}
		err = e.addFinal(p, f.id)
		p.release()
		if err != nil {
			return busy, err
		}
	}
	return busy, nil
}

// join copies the partials into the final. Their leases, taken in the order
// of the ids so that two builders never wait for each other, are kept until
// it is done and given to nobody who asks.
func (e *engine) join(f *hold) error {
	held := make(map[string]*hold, len(f.info.PartialUploads))
	defer func() {
		for _, p := range held {
			p.release()
		}
	}()
	for _, id := range distinct(f.info.PartialUploads) {
		p, err := e.hold(f.ctx, id, LockWait)
		if err != nil {
			return err
		}
		held[id] = p
	}
	uploads := make([]Upload, len(f.info.PartialUploads))
	for i, id := range f.info.PartialUploads {
		uploads[i] = held[id].upload
	}
	if err := e.declareFinal(f, held); err != nil {
		return err
	}
	if err := e.concat(f, uploads); err != nil {
		return err
	}
	return dropFinal(f, held)
}

// concat has the store copy the partials.
func (e *engine) concat(f *hold, partials []Upload) error {
	defer f.times.concat.since(time.Now())
	if err := e.store.Concater.Concat(f.ctx, f.upload, partials); err != nil {
		return err
	}
	return f.refresh()
}

// declareFinal fixes the length of a final that was made when the length of a
// partial was not known.
func (e *engine) declareFinal(f *hold, held map[string]*hold) error {
	if !f.info.SizeIsDeferred {
		return nil
	}
	lengths := make(map[string]int64, len(held))
	for id, p := range held {
		lengths[id] = p.info.Size
	}
	length, err := e.addUp(f.info.PartialUploads, lengths)
	if err != nil {
		return err
	}
	if err := e.declare(f, length); err != nil {
		return err
	}
	return f.refresh()
}

// dropFinal takes the built final out of the records of its partials.
func dropFinal(f *hold, held map[string]*hold) error {
	for _, p := range held {
		if !slices.Contains(p.info.Finals, f.id) {
			continue
		}
		err := p.update(p.ctx, func(info *FileInfo) error {
			info.Finals = slices.DeleteFunc(slices.Clone(info.Finals), func(id string) bool { return id == f.id })
			return nil
		})
		if err != nil {
			return fmt.Errorf("partial upload %s: %w", p.id, err)
		}
	}
	return nil
}

// failFinal ends a final that can never be built.
func (e *engine) failFinal(f *hold, why string) error {
	e.log.Info("a final upload has failed", "id", f.id, "why", why)
	failure := &Failure{Code: ErrUploadFailed.Code, StatusCode: http.StatusGone, Body: why + "\n"}
	if err := f.setState(f.ctx, StateFailed, failure); err != nil {
		return err
	}
	f.info.State = StateFailed
	return e.forgetSide(f.ctx, buildingKey(f.id))
}

// distinct returns the ids once each, in order.
func distinct(ids []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(ids)))
}
