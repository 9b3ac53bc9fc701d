package tusd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"time"
)

// The finisher turns an upload that has all its bytes into a complete one, and publishes
// that: the store finishes it, the pre-finish callback agrees, the record says so, and
// the receivers of events get post-finish. This is one step that is repeated until all of
// it is done, also after a crash and by another process (finishretry.go). At most one
// attempt is made for an upload at a time, however many requests ask for it, and it
// continues when the client has disconnected. Until the upload is complete, requests get
// ErrUploadFinishing.

// finishTask is an upload that this process has to finish, or whose post-finish it has to
// publish.
type finishTask struct {
	request HTTPRequest // of the event
	drop    func()      // ends the retention of request; nil: it is not retained

	// begun is set when this process has begun to finish the upload. While it is set,
	// post-finish is not published yet, even if the record says complete.
	begun atomic.Bool

	// other is a task of the same upload that has ended in favour of this one. The next
	// attempt takes over what it knows.
	other atomic.Pointer[finishTask]

	// Only the attempt that runs uses the following fields.
	created time.Time     // of the upload; the zero time: not known yet
	holds   bool          // the id is locked in engine.finishing
	key     SideRecordKey // of the side record; the zero value: not known yet
	record  finishRecord  // the side record
	stored  bool          // the side record is in the store
	counted bool          // in Metrics.UploadsFinished
	offered bool          // the subscriptions have the event
	wait    time.Duration // before the last attempt
}

// defaultFinishWait is how long a request waits for the pre-finish callback. Proxies wait for
// a minute, usually.
const defaultFinishWait = 45 * time.Second

// finish finishes the upload in u and releases u. request is the request that the event
// names; its end does not interrupt finish.
func (e *engine) finish(u *lockedUpload, request HTTPRequest) (operationResult, error) {
	if !e.finishing.TryLock(u.id) {
		u.unlock()
		return operationResult{}, ErrUploadFinishing
	}
	t := &finishTask{request: request, holds: true, created: u.info.Created}
	t.begun.Store(true)
	if u.intended {
		t.key, t.stored = finishingKey(&u.info), true
		t.record = finishRecord{ID: u.id, Created: u.info.Created, Since: e.now().UTC(), Delivery: deliveryRecord{Kept: true}}
	}
	ended := false
	defer func() {
		if !ended { // after a panic, too
			e.retryFinish(u.id, t) // under the lock: the next attempt knows what this one has done
		}
		u.unlock()
	}()
	res, err := e.finishAndPublish(u, t)
	if err == nil || isRefusal(err) {
		ended = true
		e.unlockFinishing(u.id, t)
		return res, err
	}
	if errors.Is(err, errUnpublished) { // the client need not wait for that
		return res, nil
	}
	return res, ErrFinishFailed.With(err)
}

// finishSoon is finish for a request. If the callback takes long, or the client disconnects, or
// the server shuts down, finishSoon returns ErrUploadFinishing, and the upload is finished in the
// background.
func (e *engine) finishSoon(ctx context.Context, u *lockedUpload, request HTTPRequest) (operationResult, error) {
	if !e.callsPreFinish(&u.info) {
		return e.finish(u, request)
	}
	type outcome struct {
		res operationResult
		err error
	}
	before := u.info // the goroutine changes it
	u.handedOver = true
	done := make(chan outcome, 1)
	run := func() {
		var o outcome
		o.err = guard(func() (err error) {
			o.res, err = e.finish(u, request)
			return err
		})
		done <- o
	}
	if !e.work.Start(run) {
		run() // the handler shuts down
	}
	timer := time.NewTimer(e.finishWait)
	defer timer.Stop()
	select {
	case o := <-done:
		return o.res, o.err
	case <-timer.C:
	case <-ctx.Done():
	case <-e.background.Done():
	}
	return operationResult{info: &before}, ErrUploadFinishing
}

// errUnpublished marks the error of an attempt that has completed the upload, but could
// not publish that.
var errUnpublished = errors.New("the upload is complete, but its event could not be sent")

// finishAndPublish makes one attempt to finish the upload in u and to publish that, as
// far as it is not done yet. A refusal by the callback is final. After any other error
// the attempt has to be repeated.
func (e *engine) finishAndPublish(u *lockedUpload, t *finishTask) (operationResult, error) {
	res := operationResult{info: &u.info}
	if e.needsFinish(&u.info) || t.begun.Load() && u.info.State == "" && u.info.Full() {
		var err error
		res.response, err = e.complete(u, t)
		if isRefusal(err) {
			e.removeFinishRecord(u, t)
		}
		if err != nil {
			return res, err
		}
	}
	e.unlockFinishing(u.id, t)
	kept := false
	if u.info.isComplete() && (t.begun.Load() || t.stored) {
		var err error
		if kept, err = e.publishFinish(u, t); err != nil {
			return res, fmt.Errorf("%w: %v", errUnpublished, err) // not wrapped: it may look like a refusal
		}
	}
	if !kept {
		e.removeFinishRecord(u, t)
	}
	t.reset()
	return res, nil
}

// reset lets the task run again as a new one, if a request has asked for the upload
// meanwhile.
func (t *finishTask) reset() {
	t.begun.Store(false)
	t.key, t.record, t.stored, t.counted, t.offered, t.wait = SideRecordKey{}, finishRecord{}, false, false, false, 0
}

// complete makes the upload in u complete.
func (e *engine) complete(u *lockedUpload, t *finishTask) (HTTPResponse, error) {
	ctx := u.lease.Context() // not u.ctx: the client may disconnect
	t.begun.Store(true)
	if !t.stored && (e.decidesFinish(&u.info) || e.keepsFinish(&u.info) || u.info.State != "") {
		if err := e.storeFinishRecord(ctx, u, t); err != nil {
			return HTTPResponse{}, err
		}
	}
	if err := u.finish(ctx); err != nil {
		return HTTPResponse{}, err
	}
	if err := u.refresh(ctx); err != nil {
		return HTTPResponse{}, err
	}
	response, err := e.decideFinish(ctx, u, t)
	if err != nil {
		return response, err
	}
	return response, u.refresh(ctx)
}

// decideFinish verifies the digests that the client has sent, calls the callback, and
// writes the decision to the record.
func (e *engine) decideFinish(ctx context.Context, u *lockedUpload, t *finishTask) (HTTPResponse, error) {
	var response HTTPResponse
	var err error
	if err = e.checkDigests(ctx, u); err != nil {
		return response, e.recordRefusal(ctx, u, err)
	}
	if e.callsPreFinish(&u.info) {
		event := Event{Type: EventPreFinish, Upload: u.info.Clone(), HTTPRequest: t.request.clone()}
		response, err = consult(func() (HTTPResponse, error) { return e.config.Callbacks.PreFinish(ctx, event) })
		if err != nil {
			return response, e.recordRefusal(ctx, u, err)
		}
	}
	if err := e.renewFinishRecord(ctx, u, t); err != nil {
		return response, err
	}
	if u.info.State == "" {
		return response, nil
	}
	return response, u.setState(ctx, StateComplete, nil)
}

// recordRefusal stores the answer of a refusal in the record of the upload. It returns
// err, or the error of writing the record.
func (e *engine) recordRefusal(ctx context.Context, u *lockedUpload, err error) error {
	if !isRefusal(err) {
		return err
	}
	r := asError(err)
	failure := &Failure{
		Code: strings.Clone(r.Code), StatusCode: statusFor(r, u.info.Dialect, ""),
		Body: strings.Clone(r.Response.Body), Header: ownTexts(r.Response.Header),
	}
	maps.DeleteFunc(failure.Header, func(name, _ string) bool { return strings.EqualFold(name, "Set-Cookie") }) // it is for this client
	if failure.StatusCode < 400 {
		failure.StatusCode = 400
	}
	if writeErr := u.setState(ctx, StateFailed, failure); writeErr != nil {
		return writeErr
	}
	if u.info.IsPartial {
		e.wakeFinals(&u.info)
	}
	return errors.Join(err, u.refresh(ctx))
}

// callsPreFinish reports whether the pre-finish callback is called for an upload.
func (e *engine) callsPreFinish(info *FileInfo) bool {
	return e.config.Callbacks.PreFinish != nil && e.tellsFinish(info)
}

// decidesFinish reports whether an upload is complete only when its record says so: a
// callback has to agree, or the sink must not miss its event.
func (e *engine) decidesFinish(info *FileInfo) bool {
	return e.tellsFinish(info) && (e.config.Callbacks.PreFinish != nil || e.config.Events != nil || e.keepsFinish(info) && !e.intends(info))
}

// keepsFinish reports whether the delivery must not miss the event of an upload that becomes
// complete.
func (e *engine) keepsFinish(info *FileInfo) bool {
	return e.tellsFinish(info) && e.config.Delivery.keeps(EventPostFinish)
}

// intends reports whether intendFinish can store that the upload is going to be complete: only
// content makes it so.
func (e *engine) intends(info *FileInfo) bool {
	return e.keepsFinish(info) && info.State == "" && !info.SizeIsDeferred && info.Size > 0
}

// intendFinish lets the body store the side record of the finish before it gives the store the byte
// that makes the upload full. That saves a write of the upload's record, which says nothing about
// completion then. If that byte is not stored, a look at the side records removes the record.
func (e *engine) intendFinish(op *operation, u *lockedUpload) {
	if !e.intends(&u.info) || u.info.isFull() {
		return
	}
	op.body.full = u.info.Size - u.info.Offset
	op.body.beforeFull = func() error {
		t := finishTask{request: op.from.request()}
		err := e.storeFinishRecord(u.ctx, u, &t)
		u.intended = err == nil
		return err
	}
}

// tellsFinish reports whether the completion of an upload has a callback and an event.
func (e *engine) tellsFinish(info *FileInfo) bool {
	return !info.IsPartial || e.config.PartialFinish
}

// publishFinish publishes the event of a complete upload. A partial upload wakes the finals that
// wait for it. kept means that the side record stays until the event is delivered. An error
// means that publishFinish has to be repeated.
func (e *engine) publishFinish(u *lockedUpload, t *finishTask) (kept bool, err error) {
	// If this process has not completed the upload, and its event is kept, another has counted it.
	isNews := t.begun.Load() || !t.record.Delivery.Kept
	if isNews && !t.counted {
		t.counted = true
		e.metrics.UploadsFinished.Add(1)
	}
	if u.info.IsPartial {
		e.wakeFinals(&u.info)
	}
	if !e.tellsFinish(&u.info) {
		return false, nil
	}
	event := Event{Type: EventPostFinish, Time: e.now().UTC(), Upload: u.info, HTTPRequest: t.request}
	if !t.record.Since.IsZero() {
		event.Time = t.record.Since
	}
	if isNews && !t.offered {
		t.offered = true
		e.events.offer(event)
	}
	kept = t.stored && t.record.Delivery.Kept
	if err := e.sendFinish(u, t, event, kept); err != nil {
		return false, err
	}
	var key SideRecordKey
	if kept {
		key = t.key
	}
	if kept && !e.config.Delivery.wants(event.Type) {
		e.leaveEvent(key, u.id)
	}
	e.deliveries.add(event, key, t.record.Delivery.since(event.Time))
	return kept, nil
}

// sendFinish gives the event to the sink, once if the side record stays.
func (e *engine) sendFinish(u *lockedUpload, t *finishTask, event Event, kept bool) error {
	ctx := u.lease.Context()
	if e.config.Events == nil || t.record.Sent {
		return nil
	}
	err := e.events.send(ctx, event)
	if err == nil && kept {
		t.record.Sent = true
		err = e.storeFinishRecord(ctx, u, t)
	}
	return err
}

// unlockFinishing lets requests use the upload again: it is complete, has failed, or is
// not full.
func (e *engine) unlockFinishing(id string, t *finishTask) {
	if t.holds {
		t.holds = false
		e.finishing.Unlock(id)
	}
}
