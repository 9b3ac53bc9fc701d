package tusd

import (
	"context"
	"errors"
	"strings"
)

// The finisher turns an upload that has all its bytes into a complete one: the store
// finishes it, the pre-finish callback agrees, the record says so, and the event is
// published. At most one works on an upload at a time, however many requests ask for
// it, and it continues when the client has disconnected. The server retries failed attempts
// (finishretry.go); until then requests get ErrUploadFinishing.

// kindFinishing is the kind of the side records that name uploads which are being
// finished, so that a restart continues with them.
const kindFinishing = "finishing"

// finishingKey returns the key of an upload's side record. It has a hash of the id: an
// id may be too long for a key, or contain characters that a key cannot.
func finishingKey(id string) SideRecordKey {
	return SideRecordKey{Kind: kindFinishing, Name: hashName(id)}
}

// finish finishes the upload in u and releases u. request is the request that the event
// names; its end does not interrupt finish.
func (e *engine) finish(u *lockedUpload, request HTTPRequest) (operationResult, error) {
	if !e.finishing.TryLock(u.id) {
		u.release()
		return operationResult{}, ErrUploadFinishing
	}
	handedOver := false
	defer func() {
		u.release()
		if !handedOver {
			e.finishing.Unlock(u.id)
		}
	}()
	res, err := e.tryFinish(u, request)
	if err == nil || isRefusal(err) {
		return res, err
	}
	handedOver = true
	u.release()
	e.retryFinish(u.id, request, e.firstRetryDelay, true)
	return res, ErrFinishFailed.With(err)
}

// tryFinish makes one attempt to finish the upload in u. A refusal by the callback is
// final; after any other error the attempt can be repeated.
func (e *engine) tryFinish(u *lockedUpload, request HTTPRequest) (operationResult, error) {
	ctx := u.lease.Context() // not u.ctx: the client may disconnect
	callback := e.callsPreFinish(u.info)
	recorded := callback || u.info.State != ""
	if recorded {
		if err := e.store.SideRecords.PutSideRecord(ctx, finishingKey(u.id), []byte(u.id)); err != nil {
			return operationResult{info: &u.info}, err
		}
	}
	if err := u.finish(ctx); err != nil {
		return operationResult{info: &u.info}, err
	}
	if err := u.refresh(); err != nil {
		return operationResult{info: &u.info}, err
	}
	response, err := e.decideFinish(ctx, u, request, callback)
	if err == nil {
		err = u.refresh()
	}
	if err != nil && !isRefusal(err) {
		return operationResult{info: &u.info}, err
	}
	if err == nil {
		e.publishFinished(u.info, request)
	}
	if recorded { // harmless if it stays: the next start loads the upload once
		if deleteErr := e.deleteSideRecord(ctx, finishingKey(u.id)); deleteErr != nil {
			e.log.Warn("cannot remove a side record", "id", u.id, "err", deleteErr)
		}
	}
	return operationResult{info: &u.info, response: response}, err
}

// decideFinish verifies the digests that the client has sent, calls the callback, and
// writes the decision to the record.
func (e *engine) decideFinish(ctx context.Context, u *lockedUpload, request HTTPRequest, callback bool) (HTTPResponse, error) {
	var response HTTPResponse
	var err error
	if err = e.checkDigests(ctx, u); err != nil {
		return response, e.recordRefusal(ctx, u, err)
	}
	if callback {
		event := Event{Type: EventPreFinish, Upload: u.info.Clone(), HTTPRequest: request}
		response, err = consult(func() (HTTPResponse, error) { return e.config.Callbacks.PreFinish(ctx, event) })
		if err != nil {
			return response, e.recordRefusal(ctx, u, err)
		}
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
	if failure.StatusCode < 400 {
		failure.StatusCode = 400
	}
	if writeErr := u.setState(ctx, StateFailed, failure); writeErr != nil {
		return writeErr
	}
	if u.info.IsPartial {
		e.wakeFinals(&u.info)
	}
	return errors.Join(err, u.refresh())
}

// callsPreFinish reports whether the pre-finish callback is called for an upload.
func (e *engine) callsPreFinish(info FileInfo) bool {
	return e.config.Callbacks.PreFinish != nil && !info.IsPartial
}

// publishFinished publishes the event of a complete upload. A partial upload has no
// event: it wakes the finals that wait for it.
func (e *engine) publishFinished(info FileInfo, request HTTPRequest) {
	e.metrics.UploadsFinished.Add(1)
	if info.IsPartial {
		e.wakeFinals(&info)
		return
	}
	e.events.publish(Event{Type: EventPostFinish, Upload: info, HTTPRequest: request})
}
