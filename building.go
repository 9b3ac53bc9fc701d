package tusd

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// The builder of final uploads. It may be started as often as one likes and
// by anybody: at most one works on a final at a time, in the background, and
// what it has begun it, or a later one, brings to an end.

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
