package tusd

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// RemovalReason is why an upload is removed.
type RemovalReason string

// The reasons.
const (
	RemovedByClient   RemovalReason = "client"   // DELETE
	RemovedByOperator RemovalReason = "operator" // Handler.Terminate, Handler.TryTerminate
	RemovedUnbuilt    RemovalReason = "unbuilt"  // a final that could not be built, before its client knew of it
	RemovedExpired    RemovalReason = "expired"  // Handler.Sweep
	RemovedForSpace   RemovalReason = "evicted"  // Env.Evict: the store made room for other uploads
)

// removal describes the removal of one upload.
type removal struct {
	id      string
	created time.Time // of the upload: a later one that has its id stays; zero: any
	reason  RemovalReason
	request HTTPRequest // of the event; the zero value: none
	// mode is LockPreempt, which interrupts a running request on the upload, or LockTry,
	// which returns ErrUploadLocked if there is one.
	mode LockMode
	// answer is for the interrupted request; nil: ErrUploadInterrupted, which lets its
	// client try again. If the upload is needed by a final, the removal is refused before
	// another answer is sent.
	answer *Error
	// decide, if not nil, is called under the lock. It may refuse the removal.
	decide func(u *lockedUpload) (HTTPResponse, error)

	// confirm, if not nil, is called when the side record of the removal is stored. After an
	// error nothing is removed.
	confirm func(u *lockedUpload) error
}

// terminate removes an upload for a client (DELETE).
func (e *engine) terminate(op *operation, id string) (operationResult, error) {
	if err := e.authorize(op, id); err != nil {
		return operationResult{}, err
	}
	expired := false
	res, err := e.remove(op.ctx, removal{
		id: id, reason: RemovedByClient, mode: LockPreempt, request: e.eventRequest(op),
		decide: func(u *lockedUpload) (HTTPResponse, error) {
			expired = e.isExpired(&u.info)
			return e.preTerminate(op, u)
		},
	})
	if err == nil && expired { // it is removed now, but the client shall see what it would see without that
		return operationResult{}, ErrUploadExpired
	}
	return res, err
}

// remove removes an upload, and publishes that. An upload whose record is broken can be
// removed, too. A partial that an unfinished final needs cannot: ErrPartialInUse, unless
// the final has waited too long, which then fails.
func (e *engine) remove(ctx context.Context, r removal) (operationResult, error) {
	if err := e.interruptFor(ctx, r); err != nil {
		return operationResult{}, err
	}
	u, err := e.lock(ctx, r.id, r.mode)
	if errors.Is(err, ErrUploadLocked) && r.answer != nil { // a newer request has overtaken this one
		u, err = e.lock(ctx, r.id, LockWait)
	}
	if err != nil {
		return operationResult{}, err
	}
	defer u.release()
	u.info.ID = r.id // all that is known of a broken record
	err = u.load(e.store.Core)
	if errors.Is(err, ErrBroken) {
		var found bool
		if found, err = e.continueBroken(u); found {
			return operationResult{info: &u.info}, nil
		}
	}
	if err != nil {
		return operationResult{}, err
	}
	if !r.concerns(&u.info) {
		return operationResult{}, ErrNotFound
	}
	if err := e.checkPublished(u, r); err != nil {
		return operationResult{}, err
	}
	overdue, err := e.checkUnneeded(u)
	if err != nil {
		return operationResult{}, err
	}
	var response HTTPResponse
	if r.decide != nil {
		if response, err = r.decide(u); err != nil {
			return operationResult{}, err
		}
	}
	if err := e.failOverdueFinals(u, overdue); err != nil {
		return operationResult{}, err
	}
	registered, err := e.savePartials(u)
	if err != nil {
		return operationResult{}, err
	}
	if err := e.removeAndPublish(u, r); err != nil {
		return operationResult{}, err
	}
	if registered {
		u.release()
		e.unregisterSoon(ctx, r.id, r.mode != LockTry)
	}
	return operationResult{info: &u.info, response: response}, nil
}

// checkPublished returns ErrUploadFinishing if the sink or the receiver has not got post-finish of
// the upload in u yet, and the removal can wait for that.
func (e *engine) checkPublished(u *lockedUpload, r removal) error {
	if r.mode != LockTry || e.config.Events == nil && !e.config.Delivery.keeps(EventPostFinish) && !e.config.Offline || !u.info.isComplete() {
		return nil
	}
	var t finishTask
	found, err := e.loadFinishRecord(u.ctx, u, &t)
	if err == nil && found && !t.record.Ended && !t.record.Delivery.Dead {
		err = ErrUploadFinishing
	}
	return err
}

// interruptFor gives the running request on an upload the answer of the removal, if that
// has one and nothing speaks against the removal yet.
func (e *engine) interruptFor(ctx context.Context, r removal) error {
	if r.answer == nil {
		return nil
	}
	_, info, err := e.peek(ctx, r.id)
	if errors.Is(err, ErrBroken) {
		return nil
	}
	if err != nil {
		return err
	}
	if !r.concerns(&info) {
		return ErrNotFound
	}
	overdue, err := e.checkUnneeded(&lockedUpload{id: r.id, info: info, ctx: ctx})
	if err == nil && len(overdue) == 0 { // an overdue final may be finished meanwhile
		e.stopRunning(r.id, r.answer)
	}
	return err
}

// concerns reports whether an upload that has the id is the one to remove.
func (r *removal) concerns(info *FileInfo) bool {
	return r.created.IsZero() || r.created.Equal(info.Created)
}

// removeAndPublish removes an upload and publishes that, once for each upload whose
// creation was published.
func (e *engine) removeAndPublish(u *lockedUpload, r removal) error {
	before, earlier, err := e.earlierEvents(u)
	if err != nil {
		return err
	}
	record, err := e.recordRemoval(u, r, before)
	noSpace := errors.Is(err, ErrNoSpace) && r.confirm == nil // there will be space for the record
	if err != nil && !noSpace {
		return err
	}
	err = e.removeFromStore(u)
	if err != nil && !e.isGone(u, err) {
		e.forgetRemoval(u, record)
		return err
	}
	if noSpace && !e.recordRemoved(u, record) {
		record, earlier = nil, nil
	}
	e.forgetEarlierRecords(u, earlier)
	e.metrics.removed(r.reason).Add(1)
	if _, publishErr := e.publishRemoval(u, r, record, false); publishErr != nil {
		e.log.Warn("cannot change a side record", "id", u.id, "err", publishErr)
	}
	return err
}

// recordRemoved stores the side record of a removal for which there was no space before. Without
// it, the event waits in memory only.
func (e *engine) recordRemoved(u *lockedUpload, record *removalRecord) bool {
	record.Removed = true
	err := e.storeRemovalRecord(u.lease.Context(), record)
	if err != nil {
		e.log.Warn("cannot store a side record: the event of a removal is lost if this process ends", "id", u.id, "err", err)
	}
	return err == nil
}

// isGone reports whether the upload does not exist any more after a removal that
// returned an error. If so, this was the last chance to publish the removal.
func (e *engine) isGone(u *lockedUpload, err error) bool {
	if errors.Is(err, ErrNotFound) { // an earlier removal has removed it
		return false
	}
	_, _, err = e.load(u.lease.Context(), u.id)
	return errors.Is(err, ErrNotFound) && !errors.Is(err, ErrBroken)
}

func (e *engine) preTerminate(op *operation, u *lockedUpload) (HTTPResponse, error) {
	ask := e.config.Callbacks.PreTerminate
	if ask == nil {
		return HTTPResponse{}, nil
	}
	return consult(func() (HTTPResponse, error) {
		return ask(u.ctx, Event{Type: EventPreTerminate, Upload: u.info.Clone(), HTTPRequest: op.from.request(), Reason: RemovedByClient})
	})
}

// Terminate removes the upload id, whatever its state, for the program: no callback is
// asked. It interrupts a running request on the upload, whose client gets
// ErrUploadTerminated, and waits for the lock at most Config.AcquireLockTimeout. Events,
// metrics and the answers to later requests are those of a DELETE. After nil nothing of
// the upload comes back.
//
// Errors: ErrNotFound; ErrInvalidID; ErrPartialInUse, if a final upload that is not built
// needs this partial upload; ErrLockTimeout or ErrUploadLocked; ErrNotImplemented, if the
// store has no Terminater; ErrServerShutdown; the cause of ctx; others are of the store.
// After an error, call Terminate again: the interrupted client may have been told that the
// upload is gone. Safe for concurrent use, but never call it in a callback or in
// EventSink.Send for the upload of the event, whose lock is held then.
func (h *Handler) Terminate(ctx context.Context, id string) error {
	return h.engine.terminateFor(ctx, removal{id: id, reason: RemovedByOperator, mode: LockPreempt, answer: ErrUploadTerminated})
}

// TerminateWith is Terminate for the upload of an event. The client whose running request is
// interrupted gets answer and gives up; nil: ErrUploadStopped. A message for people comes from
// ErrUploadStopped.Refuse.
//
// Only ID and Created of upload matter. A later upload that has the ID by now stays: ErrNotFound.
// A zero Created means every upload with the ID. A running request is interrupted also if the
// store has no Terminater.
func (h *Handler) TerminateWith(ctx context.Context, upload FileInfo, answer *Error) error {
	r := removal{id: upload.ID, created: upload.Created, reason: RemovedByOperator, mode: LockPreempt, answer: h.validAnswer(upload.ID, answer)}
	err := h.engine.terminateFor(ctx, r)
	if errors.Is(err, ErrNotImplemented) {
		err = errors.Join(err, h.engine.interruptFor(ctx, r))
	}
	return err
}

// TryTerminate is Terminate for an upload that no request uses: it never interrupts a request
// and never waits for a lock. It changes nothing and returns ErrUploadLocked if the upload
// is locked, and ErrUploadFinishing if its post-finish is not sent to Config.Events (for
// 24 h at most) or not delivered (until it is dead).
func (h *Handler) TryTerminate(ctx context.Context, id string) error {
	return h.engine.terminateFor(ctx, removal{id: id, reason: RemovedByOperator, mode: LockTry})
}

// evict removes an upload for the store (Env.Evict).
func (e *engine) evict(ctx context.Context, id string, allow func(FileInfo) bool) error {
	return e.terminateFor(ctx, removal{
		id: id, reason: RemovedForSpace, mode: LockTry,
		decide: func(u *lockedUpload) (HTTPResponse, error) {
			if u.upload == nil || !allow(u.info) {
				return HTTPResponse{}, ErrUploadLocked.With(errors.New("the store does not remove it any more"))
			}
			return HTTPResponse{}, nil
		},
	})
}

// terminateFor removes an upload for the program.
func (e *engine) terminateFor(ctx context.Context, r removal) error {
	if err := ValidateID(r.id); err != nil {
		return err
	}
	if e.store.Terminater == nil || e.config.ReadOnly {
		return ErrNotImplemented
	}
	if !e.changing.Enter() {
		return ErrServerShutdown
	}
	defer e.changing.Leave()
	_, err := e.remove(ctx, r)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w (%w)", context.Cause(ctx), err)
	}
	return err
}

// Info returns the record of the upload id, without locking it: its Offset may grow
// meanwhile, and may not be on disk yet. The record is the caller's. ErrNotFound: there is
// no such upload; ErrInvalidID: there can be none. If it is Complete, its post-finish may
// not be sent yet. No callback is asked. Safe for concurrent use, also in callbacks.
func (h *Handler) Info(ctx context.Context, id string) (FileInfo, error) {
	if err := ValidateID(id); err != nil {
		return FileInfo{}, err
	}
	_, info, err := h.engine.peek(ctx, id)
	if err != nil {
		return FileInfo{}, err
	}
	return info.Clone(), nil
}
