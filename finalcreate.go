package tusd

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Final uploads (tus 1.0, Concatenation, with unfinished partial uploads).
//
// A final is a record that names its partials and, once it is built, has data of its
// own. A build may be repeated until it succeeds. It is started by the POST that
// creates the final, by the request that finishes the last partial, or by a HEAD of the
// final.

const (
	// defaultBuildTimeout is how long the POST waits for the final to be built before
	// it answers and leaves the rest to the background.
	defaultBuildTimeout = 10 * time.Second
	// repeatWindow is how long a POST with the same partials and metadata means the
	// same final, so that a retry after a lost answer does not copy everything a second
	// time.
	repeatWindow = 10 * time.Minute
	// kindConcat is the kind of the side records that store the final of such a POST.
	kindConcat = "concat"
	// kindBuilding is the kind of the side records that name unbuilt finals, so that a
	// restart continues to build them.
	kindBuilding = "building"
)

func buildingKey(id string) SideRecordKey {
	return SideRecordKey{Kind: kindBuilding, Name: hashName(id)}
}

// finalRequest is a request for a final upload, as a dialect has read it.
type finalRequest struct {
	partials []string // ids in the order of concatenation; an id may appear more than once
	raw      string   // Upload-Concat byte for byte
	metadata MetaData
	rawMeta  string // Upload-Metadata byte for byte
}

// concatRecord is the value of a side record of kindConcat.
type concatRecord struct {
	ID      string
	Created time.Time
}

// concatenate creates a final upload and builds it.
func (e *engine) concatenate(op *operation, req finalRequest) (operationResult, error) {
	for _, id := range uniqueIDs(req.partials) {
		if err := e.authorize(op, id); err != nil {
			return operationResult{}, err
		}
	}
	if !e.builders.tryAcquire() { // before anything is stored
		return operationResult{}, ErrTooManyFinals
	}
	handedOver := false
	defer func() {
		if !handedOver {
			e.builders.release()
		}
	}()
	w := &finalWait{e: e, key: req.key()}
	res, err := w.findOrCreate(op, req)
	if err != nil || e.isBuilt(*res.info) {
		return res, err
	}
	handedOver = true
	built, err := w.await(op)
	switch {
	case w.abandoned.Load():
		return operationResult{}, err
	case w.fresh && errors.Is(err, ErrNotFound) && e.store.Terminater != nil:
		return operationResult{}, errors.Join(err, w.discardFailed(op))
	}
	res.merge(built)
	return res, err
}

// discard removes a final that failed before the client knew of it. Its partials may
// still name it. An equal request meanwhile gets ErrUploadLocked: the final that it
// would create has the same key.
func (e *engine) discard(ctx context.Context, id string, key SideRecordKey, request HTTPRequest) error {
	if _, err := e.creatingFinals.Lock(ctx, key.Name); err != nil {
		return err
	}
	defer e.creatingFinals.Unlock(key.Name)
	_, err := e.remove(ctx, removal{id: id, reason: RemovedUnbuilt, mode: LockPreempt, request: request, decide: func(u *lockedUpload) (HTTPResponse, error) {
		if u.info.Complete() {
			return HTTPResponse{}, errors.New("the final upload was built meanwhile")
		}
		return HTTPResponse{}, nil
	}})
	if err != nil && !errors.Is(err, ErrNotFound) { // a DELETE may have removed it
		return err
	}
	return e.deleteSideRecord(ctx, key)
}

// isBuilt reports whether a final is complete and no builder works on it any more.
func (e *engine) isBuilt(info FileInfo) bool {
	return info.Complete() && !e.building.Locked(info.ID)
}

// key returns the side key of the request. Two requests for the same final have the
// same key.
func (req finalRequest) key() SideRecordKey {
	return SideRecordKey{Kind: kindConcat, Name: hashName(strings.Join(req.partials, " ") + "\n" + req.rawMeta)}
}

// recentFinal returns the final of an equal request within repeatWindow, if there is
// one.
func (e *engine) recentFinal(op *operation, key SideRecordKey) (operationResult, error) {
	e.removeOldConcatRecords()
	value, err := e.store.SideRecords.GetSideRecord(op.ctx, key)
	if errors.Is(err, ErrNotFound) {
		return operationResult{}, nil
	}
	if err != nil {
		return operationResult{}, err
	}
	r, fresh := e.parseConcatRecord(value)
	if !fresh {
		return operationResult{}, nil
	}
	_, info, err := e.peek(op.ctx, r.ID)
	if errors.Is(err, ErrNotFound) || err == nil && info.State == StateFailed {
		return operationResult{}, nil
	}
	return operationResult{info: &info}, err
}

// parseConcatRecord decodes a side record. fresh reports whether it is younger than
// repeatWindow.
func (e *engine) parseConcatRecord(value []byte) (r concatRecord, fresh bool) {
	if json.Unmarshal(value, &r) != nil {
		return r, false
	}
	return r, e.now().Sub(r.Created) < repeatWindow
}

// removeOldConcatRecords removes expired side records in the background, at most once
// per repeatWindow.
func (e *engine) removeOldConcatRecords() {
	last, now := e.sideRecordsSwept.Load(), e.now().Unix()
	if now-last < int64(repeatWindow/time.Second) || !e.sideRecordsSwept.CompareAndSwap(last, now) {
		return
	}
	e.work.Start(func() {
		err := e.eachSideRecord(e.background, kindConcat, "", func(key SideRecordKey, value []byte) error {
			if _, fresh := e.parseConcatRecord(value); fresh {
				return nil
			}
			return e.store.SideRecords.DeleteSideRecord(e.background, key)
		})
		if err != nil && e.background.Err() == nil {
			e.log.Warn("cannot remove old side records", "kind", kindConcat, "err", err)
		}
	})
}

// createFinal stores the record of a final, not its data. It locks the final in
// engine.building for the builder that w.await starts. That builder must be the first,
// because only the first removes a final that does not fit.
func (e *engine) createFinal(op *operation, req finalRequest, w *finalWait) (res operationResult, err error) {
	ids := uniqueIDs(req.partials)
	e.registrations.beginRequest(ids)
	defer e.registrations.endRequest(ids)
	info := e.newInfo(op, req.metadata, req.rawMeta)
	info.IsFinal, info.PartialUploads, info.RawConcat = true, req.partials, req.raw
	if w.full, err = e.measurePartials(op.ctx, ids, info); err != nil {
		return operationResult{}, err
	}
	u, res, err := e.createLocked(op, info)
	if err != nil {
		return res, err
	}
	defer u.release()
	e.registrations.add(u.id, ids...) // the builder removes this registration
	if w.reserved = e.building.TryLock(u.id); !w.reserved {
		e.woken.addRemoved(u.id) // the builder of a removed final with this id still works
	}
	stored := false
	defer func() {
		if w.reserved && !stored {
			e.building.Unlock(u.id)
		}
	}()
	if err := e.putFinalRecords(u, w.key); err != nil {
		e.registrations.remove(u.id)
		if e.store.Terminater == nil {
			return res, err
		}
		return operationResult{}, errors.Join(err, e.removeAndPublish(u, removal{reason: RemovedUnbuilt, request: e.eventRequest(op)}), e.deleteSideRecord(u.ctx, w.key), e.deleteSideRecord(u.ctx, buildingKey(u.id)))
	}
	stored = true
	return res, nil
}

// putFinalRecords stores the side records of a final: a restart continues to build it,
// and a repeated request finds it.
func (e *engine) putFinalRecords(u *lockedUpload, key SideRecordKey) error {
	value, err := json.Marshal(concatRecord{ID: u.id, Created: e.now()})
	if err == nil {
		err = e.store.SideRecords.PutSideRecord(u.ctx, buildingKey(u.id), []byte(u.id))
	}
	if err == nil {
		err = e.store.SideRecords.PutSideRecord(u.ctx, key, value)
	}
	return err
}

// measurePartials loads the partials of a new final, once each, and adds up their
// lengths. full reports whether all of them are full.
func (e *engine) measurePartials(ctx context.Context, ids []string, info *FileInfo) (full bool, err error) {
	partials, err := e.peekPartials(ctx, ids)
	if err != nil {
		return false, err
	}
	full = true
	lengths := make(map[string]int64, len(ids))
	for i, p := range partials {
		lengths[ids[i]] = max(p.info.length(), p.info.Offset)
		info.SizeIsDeferred = info.SizeIsDeferred || p.info.SizeIsDeferred
		full = full && p.info.Full()
	}
	size, err := e.sumLengths(info.PartialUploads, lengths)
	if err != nil {
		return false, err
	}
	if !info.SizeIsDeferred {
		info.Size = size
	}
	if !full {
		err = e.checkFinalLimit(ctx, partials)
	}
	return full, err
}

// sumLengths adds up the lengths of partials, each as often as it is named. It returns
// ErrMaxSizeExceeded if the sum is too large for a final.
func (e *engine) sumLengths(named []string, lengths map[string]int64) (sum int64, err error) {
	for _, id := range named {
		if lengths[id] > math.MaxInt64-sum {
			return 0, ErrMaxSizeExceeded
		}
		sum += lengths[id]
	}
	if e.tooLarge(sum) {
		return 0, ErrMaxSizeExceeded
	}
	return sum, nil
}

// peeksAtOnce limits how many partials one request loads concurrently.
const peeksAtOnce = 8

// peekPartials loads partials. The first one that cannot be concatenated stops the
// others.
func (e *engine) peekPartials(ctx context.Context, ids []string) ([]partialState, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	partials := make([]partialState, len(ids))
	var next atomic.Int64
	peekNext := func() error {
		for ctx.Err() == nil {
			i := int(next.Add(1)) - 1
			if i >= len(ids) {
				break
			}
			var err error
			if partials[i], err = e.peekPartial(ctx, ids[i]); err != nil {
				return err
			}
		}
		return nil
	}
	var workers sync.WaitGroup
	for range min(len(ids), peeksAtOnce) {
		workers.Go(func() {
			if err := guard(peekNext); err != nil {
				cancel(err)
			}
		})
	}
	workers.Wait()
	return partials, context.Cause(ctx)
}

// buildOutcome is the result of an attempt to build a final.
type buildOutcome struct {
	res operationResult
	err error
}

// finalWait is a request that waits for its final to be built.
type finalWait struct {
	e     *engine
	id    string
	key   SideRecordKey
	fresh bool // the request has created the final
	full  bool // all partials were full at that time
	// reserved is set when engine.building is locked for the builder.
	reserved bool

	decided   atomic.Bool // whether the final stays is decided
	abandoned atomic.Bool // the final was removed
}

// findOrCreate returns the final of an equal request, or creates one.
func (w *finalWait) findOrCreate(op *operation, req finalRequest) (operationResult, error) {
	if !w.e.creatingFinals.TryLock(w.key.Name) {
		return operationResult{}, ErrUploadLocked
	}
	defer w.e.creatingFinals.Unlock(w.key.Name)
	res, err := w.e.recentFinal(op, w.key)
	switch {
	case err != nil:
	case res.exists():
		if res.response, err = w.e.authorizeRepeated(op, req, res.info.ID); err != nil {
			return operationResult{}, err
		}
	default:
		w.fresh = true
		res, err = w.e.createFinal(op, req, w)
	}
	if err == nil {
		w.id = res.info.ID
	}
	return res, err
}

// authorizeRepeated asks the callbacks about a request that gets an earlier final: its client may be
// another one. What pre-create changes of the upload is ignored.
func (e *engine) authorizeRepeated(op *operation, req finalRequest, id string) (HTTPResponse, error) {
	if err := e.authorize(op, id); err != nil {
		return HTTPResponse{}, err
	}
	info := e.newInfo(op, req.metadata, req.rawMeta)
	info.IsFinal, info.PartialUploads, info.RawConcat = true, req.partials, req.raw
	return e.preCreate(op, info)
}

// await starts the builder and waits for it up to engine.buildTimeout, but not for
// partials that are not full yet. The caller has acquired builders; await releases it.
func (w *finalWait) await(op *operation) (operationResult, error) {
	e := w.e
	first := make(chan buildOutcome, 1)
	started := e.startBuilding(buildOrder{
		id: w.id, request: e.eventRequest(op), full: w.full, reserved: w.reserved, report: func(o buildOutcome) { first <- o }, abandon: w.abandon,
	})
	timer := time.NewTimer(e.buildTimeout)
	defer timer.Stop()
	var done <-chan struct{}
	if !started {
		done = e.building.Unlocked(w.id) // of another builder; nil if it has just ended
		if done == nil {
			return e.builtFinal(op, w.id)
		}
	}
	select {
	case o := <-first:
		return w.outcome(op, o)
	case <-done:
		return e.builtFinal(op, w.id)
	case <-timer.C:
	case <-op.ctx.Done():
	}
	if started && !w.decided.CompareAndSwap(false, true) {
		return w.outcome(op, <-first)
	}
	return operationResult{}, nil
}

func (w *finalWait) outcome(op *operation, o buildOutcome) (operationResult, error) {
	if o.err != nil || o.res.exists() {
		return o.res, o.err
	}
	return w.e.builtFinal(op, w.id)
}

// abandon removes a final that does not fit on the storage, unless its client may
// already know of it.
func (w *finalWait) abandon(err error, request HTTPRequest) bool {
	if !w.fresh || !errors.Is(err, ErrNoSpace) || w.e.store.Terminater == nil || !w.decided.CompareAndSwap(false, true) {
		return false
	}
	if err := w.e.discard(w.e.background, w.id, w.key, request); err != nil {
		w.e.log.Warn("cannot remove a final upload that does not fit on the storage", "id", w.id, "err", err)
		return false
	}
	w.abandoned.Store(true)
	return true
}

// discardFailed removes a final that could not be built.
func (w *finalWait) discardFailed(op *operation) error {
	return w.e.discard(op.ctx, w.id, w.key, w.e.eventRequest(op))
}

// builtFinal returns the final after an attempt to build it, by this request or another.
// If it is gone, it returns ErrUploadLocked, so that the client repeats the POST.
func (e *engine) builtFinal(op *operation, id string) (operationResult, error) {
	_, info, err := e.peek(op.ctx, id)
	if errors.Is(err, ErrNotFound) {
		return operationResult{}, ErrUploadLocked.With(err)
	}
	if err == nil && info.State == StateFailed {
		err = failedError(&info)
	}
	return operationResult{info: &info}, err
}
