package tusd

import (
	"errors"
	"net/http"
	"slices"
	"time"
)

// The builder of final uploads. It may be started any number of times: at most one
// builder works on a final, in the background. A later builder continues a build that
// was interrupted.

// build makes one attempt to complete a final. If all partials are full, it copies them
// and finishes the final; otherwise it registers the final with its partials. again
// reports that build has to be called again: a partial was in use, so that the final
// could not be registered with it, or an error occurred that may be transient.
func (e *engine) build(o buildOrder) (res operationResult, again bool, err error) {
	f, err := e.lock(e.background, o.id, LockWait)
	if err != nil {
		return operationResult{}, true, err
	}
	defer f.release()
	switch err := f.load(e.store.Core); {
	case errors.Is(err, ErrNotFound), err == nil && !f.info.IsFinal: // it was removed; another upload may have its id now
		again, err = e.unregisterRemoved(f)
		return operationResult{}, again, err
	case err != nil:
		return operationResult{}, true, err
	case f.info.State == StateFailed || f.info.Complete():
		again, err = e.unregister(f)
		return operationResult{info: &f.info}, again, err
	}
	e.registrations.add(f.id, uniqueIDs(f.info.PartialUploads)...)
	copied := f.info.Full() // by an earlier attempt that was interrupted; finishing makes it durable
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

// finishFinal finishes a final that is full and ends the work on it. copied reports
// that an earlier attempt has copied the partials; their records may still name the
// final.
func (e *engine) finishFinal(f *lockedUpload, o buildOrder, copied bool) (res operationResult, again bool, err error) {
	partials := uniqueIDs(f.info.PartialUploads)
	res, err = e.finish(f, o.request) // finish retries by itself
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

// permanentFailure returns the reason why a final can never be built, or "" if the
// build can be retried.
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

// overdue reports whether a final is too old for further attempts. Its age counts from
// its creation, so that a restart does not reset it. Records of tusd v2 have no time of
// creation; their finals are never overdue.
func (e *engine) overdue(f *lockedUpload) bool {
	return !f.info.Created.IsZero() && e.now().Sub(f.info.Created) >= maxFinalWait
}

// collectPartials makes the final full if its partials are. busy reports that the final
// could not be registered with a partial. A full final does not need its partials any
// more.
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

// registerWithPartials registers the final with its partials, unless all are full.
func (e *engine) registerWithPartials(f *lockedUpload) (full, busy bool, err error) {
	open, err := e.firstUnfinished(f)
	if err == nil && open != "" {
		if busy, err = e.registerWithEach(f); err == nil && !busy {
			open, err = e.firstUnfinished(f) // the last partial may have become full before the registration
		}
	}
	if err == nil && !busy && open != "" {
		e.awaited.set(f.id, open)
	}
	return err == nil && open == "", busy, err
}

// firstUnfinished returns the id of a partial that is not full, or "" if all are full.
// It takes no locks: copyPartials checks again under them.
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

// registerWithEach writes into the record of each partial that the final waits for it.
// It does not interrupt uploads: if a partial is locked, or its record names as many
// finals as it can, the final is registered in memory only, and busy is true.
func (e *engine) registerWithEach(f *lockedUpload) (busy bool, err error) {
	for _, id := range uniqueIDs(f.info.PartialUploads) {
		p, err := e.lockRecord(f.ctx, id, LockTry)
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

// copyPartials copies the partials into the final. It takes their leases in the order
// of the ids, so that two builders never wait for each other, and does not release them
// before the copy is done, even if they are preempted. If the copy fails and the final
// stays, the final is added to the records of the partials, because the registration in
// memory is lost at a restart.
func (e *engine) copyPartials(f *lockedUpload, stays bool) error {
	locked := make(map[string]*lockedUpload, len(f.info.PartialUploads))
	defer func() {
		for _, p := range locked {
			p.release()
		}
	}()
	for _, id := range uniqueIDs(f.info.PartialUploads) {
		p, err := e.lockRecord(f.ctx, id, LockWait)
		if err != nil {
			return err
		}
		locked[id] = p
		if !p.info.Full() { // a refused request has undone the length that it had declared
			return ErrUploadLocked
		}
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

// registerWithLocked adds the final to the records of its locked partials, as far as
// these have space.
func (e *engine) registerWithLocked(f *lockedUpload, locked map[string]*lockedUpload) error {
	for _, p := range locked {
		if _, err := e.addToRecord(p, f.id); err != nil {
			return err
		}
	}
	return nil
}

// concat lets the store copy the partials.
func (e *engine) concat(f *lockedUpload, partials []Upload) error {
	defer f.times.concat.since(time.Now())
	if err := e.store.Concater.Concat(f.ctx, f.upload, partials); err != nil {
		return err
	}
	return f.refresh(f.ctx)
}

// declareFinalLength declares the length of a final that was created before the lengths
// of all its partials were known.
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
	return f.refresh(f.ctx)
}

// failFinal marks a final that can never be built as failed. again reports that its
// builder has to run again, for the final itself or for its partials.
func (e *engine) failFinal(f *lockedUpload, why string) (again bool, err error) {
	if err := e.recordFailure(f, why); err != nil {
		return true, err
	}
	return e.unregister(f)
}

// recordFailure writes the failed state to the record of a final. The side record stays
// until the records of the partials do not name the final any more.
func (e *engine) recordFailure(f *lockedUpload, why string) error {
	e.log.Info("a final upload has failed", "id", f.id, "why", why)
	failure := &Failure{Code: ErrUploadFailed.Code, StatusCode: http.StatusGone, Body: ErrUploadFailed.Code + ": " + why + "\n"}
	if err := f.setState(f.ctx, StateFailed, failure); err != nil {
		return err
	}
	f.info.State = StateFailed
	return nil
}

// uniqueIDs returns the ids sorted and without duplicates.
func uniqueIDs(ids []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(ids)))
}
