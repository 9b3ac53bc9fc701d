package tusd

import (
	"errors"
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
func (e *engine) build(o buildOrder) (res operationResult, again bool, err error) {
	f, err := e.lock(e.background, o.id, LockWait)
	if err != nil {
		return operationResult{}, true, err
	}
	defer f.release()
	switch err := f.load(e.store.Core); {
	case errors.Is(err, ErrNotFound), err == nil && !f.info.IsFinal: // it was removed; a callback may have chosen its id again
		again, err = e.unregisterRemoved(f, o.partials)
		return operationResult{}, again, err
	case err != nil:
		return operationResult{}, true, err
	case f.info.State == StateFailed || f.info.Complete():
		again, err = e.unregister(f)
		return operationResult{info: &f.info}, again, err
	}
	e.registrations.add(f.id, uniqueIDs(f.info.PartialUploads)...)
	copied := f.info.Full() // by an attempt that was cut short
	full, busy, err := e.collectPartials(f, o)
	if why := e.permanentFailure(f, err); why != "" {
		again, failErr := e.failFinal(f, why)
		return operationResult{}, again, errors.Join(err, failErr)
	}
	if err != nil || !full {
		return operationResult{}, busy || err != nil, err
	}
	return e.finishFinal(f, o, copied)
}

// finishFinal finishes a final that has all its bytes and ends the work on it.
// joined tells that an earlier attempt has copied them, which may not have got
// as far as the records of the partials.
func (e *engine) finishFinal(f *lockedUpload, o buildOrder, copied bool) (res operationResult, again bool, err error) {
	partials := uniqueIDs(f.info.PartialUploads)
	res, err = e.finish(f, o.request) // which repeats itself if it has to
	switch {
	case err != nil && !isRefusal(err):
		return res, false, err
	case copied:
		busy, dropErr := e.removeFromPartials(e.background, o.id, partials)
		if busy || dropErr != nil {
			return res, true, errors.Join(err, dropErr)
		}
	}
	return res, false, errors.Join(err, e.deleteSideRecord(e.background, buildingKey(o.id)))
}

// permanentFailure returns why a final can never be built, or "" if that can be tried
// again.
func (e *engine) permanentFailure(f *lockedUpload, err error) (why string) {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrUploadFailed):
		return "a partial upload is gone or has failed"
	case errors.Is(err, ErrMaxSizeExceeded):
		return "the partial uploads are larger together than this server allows"
	case e.overdue(f):
		return "it could not be built in a day"
	}
	return ""
}

// overdue reports whether a final that fails again and again has been tried
// for long enough. The creation counts, so that a restart does not begin anew.
// Records of tusd v2 do not tell it.
func (e *engine) overdue(f *lockedUpload) bool {
	return !f.info.Created.IsZero() && e.now().Sub(f.info.Created) >= maxFinalWait
}

// collectPartials makes the final full, if its partials are. busy tells that one of them
// could not be told who waits for it. A final that is full does not need its
// partials any more.
func (e *engine) collectPartials(f *lockedUpload, o buildOrder) (full, busy bool, err error) {
	if f.info.Full() {
		return true, false, nil
	}
	if full = o.full; !full {
		full, busy, err = e.registerWithPartials(f)
	}
	if err == nil && full {
		err = e.copyPartials(f, o.abandon == nil)
	}
	return full, busy, err
}

// registerWithPartials makes sure that the partials know that the final waits for them,
// unless all are full.
func (e *engine) registerWithPartials(f *lockedUpload) (full, busy bool, err error) {
	open, err := e.firstUnfinished(f)
	if err == nil && open != "" {
		if busy, err = e.registerWithEach(f); err == nil && !busy {
			open, err = e.firstUnfinished(f) // the last one may have become full before it was told
		}
	}
	if err == nil && !busy && open != "" {
		e.awaited.set(f.id, open)
	}
	return err == nil && open == "", busy, err
}

// firstUnfinished returns the id of a partial that does not have all its bytes, or ""
// if all have. It takes no locks: a partial that is full stays so.
func (e *engine) firstUnfinished(f *lockedUpload) (string, error) {
	for _, id := range uniqueIDs(f.info.PartialUploads) {
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

// registerWithEach writes into the record of each partial that the final waits for
// it. Uploads go on meanwhile: a partial that is being used, or whose record names
// as many as it can, is only noted in memory, and busy says that there is one.
func (e *engine) registerWithEach(f *lockedUpload) (busy bool, err error) {
	for _, id := range uniqueIDs(f.info.PartialUploads) {
		p, err := e.lockAndLoad(f.ctx, id, LockTry)
		if errors.Is(err, ErrUploadLocked) {
			e.registrations.add(f.id, id)
			busy = true
			continue
		}
		if err != nil {
			return busy, err
		}
		registered, err := e.addToRecord(p, f.id)
		p.release()
		if err != nil {
			return busy, err
		}
		if !registered {
			e.registrations.add(f.id, id)
			busy = true
		}
	}
	return busy, nil
}

// copyPartials copies the partials into the final. It takes their leases in the order of
// the ids, so that two builders never wait for each other, and keeps them until the
// copy is done, whatever other requests ask for. If the copy fails and the final
// stays, the partials name it: memory does not outlast a restart.
func (e *engine) copyPartials(f *lockedUpload, stays bool) error {
	locked := make(map[string]*lockedUpload, len(f.info.PartialUploads))
	defer func() {
		for _, p := range locked {
			p.release()
		}
	}()
	for _, id := range uniqueIDs(f.info.PartialUploads) {
		p, err := e.lockAndLoad(f.ctx, id, LockWait)
		if err != nil {
			return err
		}
		locked[id] = p
	}
	uploads := make([]Upload, len(f.info.PartialUploads))
	for i, id := range f.info.PartialUploads {
		uploads[i] = locked[id].upload
	}
	if err := e.declareFinalLength(f, locked); err != nil {
		return err
	}
	if err := e.concat(f, uploads); err != nil {
		if stays && !f.info.Full() {
			err = errors.Join(err, e.registerWithLocked(f, locked))
		}
		return err
	}
	for _, p := range locked {
		if err := p.removeFinal(f.id); err != nil {
			return err
		}
	}
	return nil
}

// registerWithLocked names the final in the records of the partials, as far as they have a
// place.
func (e *engine) registerWithLocked(f *lockedUpload, locked map[string]*lockedUpload) error {
	for _, p := range locked {
		if _, err := e.addToRecord(p, f.id); err != nil {
			return err
		}
	}
	return nil
}

// concat has the store copy the partials.
func (e *engine) concat(f *lockedUpload, partials []Upload) error {
	defer f.times.concat.since(time.Now())
	if err := e.store.Concater.Concat(f.ctx, f.upload, partials); err != nil {
		return err
	}
	return f.refresh()
}

// declareFinalLength fixes the length of a final that was made when the length of a
// partial was not known.
func (e *engine) declareFinalLength(f *lockedUpload, locked map[string]*lockedUpload) error {
	if !f.info.SizeIsDeferred {
		return nil
	}
	lengths := make(map[string]int64, len(locked))
	for id, p := range locked {
		lengths[id] = p.info.Size
	}
	length, err := e.sumLengths(f.info.PartialUploads, lengths)
	if err != nil {
		return err
	}
	if err := e.declareLength(f, length); err != nil {
		return err
	}
	return f.refresh()
}

// failFinal ends a final that can never be built. again tells that its builder
// has to be called once more, for itself or for its partials.
func (e *engine) failFinal(f *lockedUpload, why string) (again bool, err error) {
	if err := e.recordFailure(f, why); err != nil {
		return true, err
	}
	return e.unregister(f)
}

// recordFailure writes down that a final has failed. Its side record stays until the
// records of its partials do not name it any more.
func (e *engine) recordFailure(f *lockedUpload, why string) error {
	e.log.Info("a final upload has failed", "id", f.id, "why", why)
	failure := &Failure{Code: ErrUploadFailed.Code, StatusCode: http.StatusGone, Body: why + "\n"}
	if err := f.setState(f.ctx, StateFailed, failure); err != nil {
		return err
	}
	f.info.State = StateFailed
	return nil
}

// uniqueIDs returns the ids once each, in order.
func uniqueIDs(ids []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(ids)))
}
