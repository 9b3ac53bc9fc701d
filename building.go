package tusd

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// The builder of final uploads. It may be started as often as one likes and
// by anybody: at most one works on a final at a time, in the background, and
// what it has begun it, or a later one, brings to an end.

// buildLater builds a final in the background, unless that is going on.
func (e *engine) buildLater(id string) {
	e.startBuilding(id, HTTPRequest{}, func(o outcome) {
		if o.err != nil && e.background.Err() == nil {
			e.log.Error("building a final upload failed", "id", id, "err", o.err)
		}
	})
}

// The waits between two attempts to tell busy partials who waits for them,
// doubling.
const (
	firstNaming = 50 * time.Millisecond
	lastNaming  = 5 * time.Second
)

// startBuilding works on a final in the background, unless somebody does:
// until it is built, has failed, or all its partials know that it waits for
// them. report is told once what came of the first attempt; if that was the
// last one, when everybody can see that the work is over.
func (e *engine) startBuilding(id string, request HTTPRequest, report func(outcome)) bool {
	if !e.building.enter(id) {
		return false
	}
	started := e.work.start(func() {
		afterwards := func() {}
		defer func() {
			e.naming.forget(id)
			e.building.leave(id)
			afterwards()
		}()
		res, again, err := e.build(id, request)
		if !again {
			afterwards = func() { report(outcome{res, err}) }
			return
		}
		report(outcome{res, err})
		for wait := firstNaming; again && e.pause(wait); wait = min(2*wait, lastNaming) {
			if _, again, err = e.build(id, request); err != nil && e.background.Err() == nil {
				e.log.Error("building a final upload failed", "id", id, "again", again, "err", err)
			}
		}
	})
	if !started {
		e.building.leave(id)
	}
	return started
}

// build does for a final what can be done now: join its partials and finish
// it if all are full, else make sure that they know who waits for them. again
// tells that it has to be called once more: a partial could not be told
// because a request was using it, or something failed that may not fail again.
func (e *engine) build(id string, request HTTPRequest) (res result, again bool, err error) {
	f, err := e.hold(e.background, id, LockWait)
	if errors.Is(err, ErrNotFound) {
		return result{}, false, e.forgetSide(e.background, buildingKey(id)) // terminated
	}
	if err != nil {
		return result{}, true, err
	}
	defer f.release()
	if f.info.State == StateFailed || f.info.Complete() {
		return result{info: &f.info}, false, e.forgetSide(f.ctx, buildingKey(id))
	}
	full, busy, err := e.gather(f)
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrUploadFailed):
		return result{}, false, errors.Join(err, e.failFinal(f, "a partial upload is gone or has failed"))
	case err != nil || !full:
		return result{}, busy || err != nil && !isRefusal(err), err
	}
	res, err = e.finish(f, request) // which repeats itself if it has to
	if err == nil {
		err = e.forgetSide(e.background, buildingKey(id))
	}
	return res, false, err
}

// gather makes the final full, if its partials are. busy tells that one of
// them could not be told who waits for it.
func (e *engine) gather(f *hold) (full, busy bool, err error) {
	full, err = e.allFull(f)
	if err == nil && !full {
		if busy, err = e.nameFinal(f); err == nil && !busy {
			full, err = e.allFull(f) // the last one may have become full before it was told
		}
	}
	if err == nil && full && !f.info.Full() {
		err = e.join(f)
	}
	return full, busy, err
}

// allFull tells whether every partial has all its bytes. It takes no locks: a
// partial that is full stays so.
func (e *engine) allFull(f *hold) (bool, error) {
	for _, id := range distinct(f.info.PartialUploads) {
		_, info, err := e.peek(f.ctx, id)
		if err == nil && info.State == StateFailed {
			err = ErrUploadFailed
		}
		if err != nil || !info.Full() {
			return false, err
		}
	}
	return true, nil
}

// nameFinal writes into the record of each partial that the final waits for
// it. Uploads go on meanwhile: a partial that is being used is only noted in
// memory, and busy says that there is one.
func (e *engine) nameFinal(f *hold) (busy bool, err error) {
	for _, id := range distinct(f.info.PartialUploads) {
		p, err := e.hold(f.ctx, id, LockTry)
		if errors.Is(err, ErrUploadLocked) {
			e.naming.note(id, f.id)
			busy = true
			continue
		}
		if err != nil {
			return busy, err
		}
		if !slices.Contains(p.info.Finals, f.id) {
			err = p.update(p.ctx, func(info *FileInfo) error {
				info.Finals = append(info.Finals, f.id)
				return nil
			})
		}
		p.release()
		if err != nil {
			return busy, err
		}
	}
	return busy, nil
}

// namings are the finals that partials could not be told about yet. The zero
// value is ready to use.
type namings struct {
	mu     sync.Mutex
	finals map[string][]string // by the id of the partial
}

func (n *namings) note(partial, final string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.finals == nil {
		n.finals = make(map[string][]string)
	}
	if !slices.Contains(n.finals[partial], final) {
		n.finals[partial] = append(n.finals[partial], final)
	}
}

// of returns the finals that wait for a partial.
func (n *namings) of(partial string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.finals[partial])
}

// forget takes a final out: all its partials have been told, or it is over.
func (n *namings) forget(final string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for partial, finals := range n.finals {
		left := slices.DeleteFunc(finals, func(id string) bool { return id == final })
		if n.finals[partial] = left; len(left) == 0 {
			delete(n.finals, partial)
		}
	}
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
		return errors.Join(err, e.failFinal(f, "the partial uploads are larger together than this server allows"))
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
	return e.forgetSide(f.ctx, buildingKey(f.id))
}

// distinct returns the ids once each, in order.
func distinct(ids []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(ids)))
}
