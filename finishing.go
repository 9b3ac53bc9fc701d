package tusd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"
)

// The finisher turns an upload that has all its bytes into a complete one:
// the store finishes it, the pre-finish callback agrees, the record says so,
// the event is told. That happens once for each upload, whoever asks for it
// and however often, and goes on when the client has gone. What fails is
// tried again by the server, until then requests get ErrUploadFinishing.

// kindFinishing is the kind of the side records that name uploads which are
// being finished, so that a restart goes on with them.
const kindFinishing = "finishing"

// The waits between two attempts to finish, doubling.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// maxRetries is how many uploads wait for their next attempt in memory. The others
// wait in their side records until half of these are finished. An upload that has
// none (no callback decides about it, and its record needs no state) is finished
// with the next request on it.
const maxRetries = 1000

// finish finishes the upload in h and releases h. It belongs to request, but
// does not end with it.
func (e *engine) finish(h *lockedUpload, request HTTPRequest) (operationResult, error) {
	if !e.finishing.TryLock(h.id) {
		h.release()
		return operationResult{}, ErrUploadFinishing
	}
	handedOn := false
	defer func() {
		h.release()
		if !handedOn {
			e.finishing.Unlock(h.id)
		}
	}()
	res, err := e.tryFinish(h, request)
	if err == nil || isRefusal(err) {
		return res, err
	}
	handedOn = true
	h.release()
	e.retryFinish(h.id, request, e.firstRetryDelay, true)
	return res, ErrFinishFailed.With(err)
}

// eventRequest is the request behind a call for an event that may outlive it, if
// anybody is going to see that.
func (e *engine) eventRequest(c *operation) HTTPRequest {
	if e.config.Callbacks.PreFinish == nil && !e.events.active() {
		return HTTPRequest{}
	}
	return c.from.request()
}

// finishLater finishes an upload in the background, unless that is going on. It
// reports false if too many wait for that.
func (e *engine) finishLater(id string) bool {
	return !e.finishing.TryLock(id) || e.retryFinish(id, HTTPRequest{}, 0, false)
}

// retryFinish goes on in the background. The caller has locked id. failed
// tells that an attempt has failed, which the record of an upload without a
// state does not show. It reports false if too many uploads wait already.
func (e *engine) retryFinish(id string, request HTTPRequest, wait time.Duration, failed bool) bool {
	if e.finishRetries.Add(1) > e.mostRetries {
		e.finishing.Unlock(id)
		e.finishRetries.Add(-1)
		e.finishLeft.Store(true)
		e.resumeLeftFinishes() // the others may have ended just before
		return false
	}
	request, drop := e.keepRequest(request)
	end := func() {
		drop()
		e.finishing.Unlock(id)
		e.finishRetries.Add(-1)
		e.resumeLeftFinishes()
	}
	started := e.work.Start(func() {
		defer end()
		for e.sleep(wait) && !e.finishAgain(id, request, failed) {
			wait = min(max(2*wait, e.firstRetryDelay), lastRetry)
		}
	})
	if !started {
		end()
	}
	return true
}

// errTooManyRetries ends a listing of side records.
var errTooManyRetries = errors.New("too many uploads wait to be finished")

// resumeLeftFinishes goes on with uploads that were left to their side records, if there
// is room for many.
func (e *engine) resumeLeftFinishes() {
	if e.background.Err() != nil || e.finishRetries.Load() > e.mostRetries/2 || !e.finishLeft.CompareAndSwap(true, false) {
		return
	}
	e.work.Start(func() {
		err := e.eachSideRecord(kindFinishing, func(_ SideKey, value []byte) error {
			if !e.finishLater(string(value)) {
				return errTooManyRetries
			}
			return nil
		})
		if err != nil && !errors.Is(err, errTooManyRetries) && e.background.Err() == nil {
			e.log.Error("cannot list the uploads that are not finished", "err", err)
			e.finishLeft.Store(true)
		}
	})
}

// sleep waits, and reports false if the server closes.
func (e *engine) sleep(wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return e.background.Err() == nil
	case <-e.background.Done():
		return false
	}
}

// finishAgain makes one more attempt and reports whether there is no need for
// another.
func (e *engine) finishAgain(id string, request HTTPRequest, failed bool) bool {
	h, err := e.lockAndLoad(e.background, id, LockWait)
	if errors.Is(err, ErrNotFound) {
		return e.deleteSideRecord(e.background, finishingKey(id)) == nil
	}
	if err == nil {
		defer h.release()
		failed = failed && h.info.State == "" && h.info.Full()
		if !e.unfinished(&h.info) && !failed {
			return e.deleteSideRecord(h.ctx, finishingKey(id)) == nil
		}
		_, err = e.tryFinish(h, request)
	}
	if err != nil && !isRefusal(err) {
		e.log.Error("finishing failed, will be tried again", "id", id, "err", err)
		return false
	}
	return true
}

// tryFinish finishes the upload in h as far as it gets. A refusal by the
// callback is final; any other error means that it can be repeated.
func (e *engine) tryFinish(h *lockedUpload, request HTTPRequest) (operationResult, error) {
	ctx := h.lease.Context() // not h.ctx: the client may go
	confirm := e.asksPreFinish(h.info)
	remember := confirm || h.info.State != ""
	if remember {
		if err := e.store.SideRecords.PutSide(ctx, finishingKey(h.id), []byte(h.id)); err != nil {
			return operationResult{info: &h.info}, err
		}
	}
	if err := h.finish(ctx); err != nil {
		return operationResult{info: &h.info}, err
	}
	if err := h.refresh(); err != nil {
		return operationResult{info: &h.info}, err
	}
	response, err := e.decideFinish(ctx, h, request, confirm)
	if err == nil {
		err = h.refresh()
	}
	if err != nil && !isRefusal(err) {
		return operationResult{info: &h.info}, err
	}
	if err == nil {
		e.announceFinished(h.info, request)
	}
	if remember { // left behind it costs a look at the next start, no more
		if forgetErr := e.deleteSideRecord(ctx, finishingKey(h.id)); forgetErr != nil {
			e.log.Warn("cannot remove a side record", "id", h.id, "err", forgetErr)
		}
	}
	return operationResult{info: &h.info, response: response}, err
}

// decideFinish compares what the client has said of the whole upload, asks the
// callback, and writes what came of it to the record.
func (e *engine) decideFinish(ctx context.Context, h *lockedUpload, request HTTPRequest, ask bool) (HTTPResponse, error) {
	var response HTTPResponse
	var err error
	if err = e.checkDigests(ctx, h); err != nil {
		return response, e.recordRefusal(ctx, h, err)
	}
	if ask {
		event := Event{Type: EventPreFinish, Upload: h.info.Clone(), HTTPRequest: request}
		response, err = consult(func() (HTTPResponse, error) { return e.config.Callbacks.PreFinish(ctx, event) })
		if err != nil {
			return response, e.recordRefusal(ctx, h, err)
		}
	}
	if h.info.State == "" {
		return response, nil
	}
	return response, h.setState(ctx, StateComplete, nil)
}

// recordRefusal keeps the answer of a refusal with the upload. It returns err, or
// what kept the refusal from being written.
func (e *engine) recordRefusal(ctx context.Context, h *lockedUpload, err error) error {
	if !isRefusal(err) {
		return err
	}
	r := asError(err)
	failure := &Failure{
		Code: strings.Clone(r.Code), StatusCode: statusFor(r, h.info.Dialect, ""),
		Body: strings.Clone(r.Response.Body), Header: ownTexts(r.Response.Header),
	}
	if failure.StatusCode < 400 {
		failure.StatusCode = 400
	}
	if writeErr := h.setState(ctx, StateFailed, failure); writeErr != nil {
		return writeErr
	}
	if h.info.IsPartial {
		e.wakeFinals(&h.info)
	}
	return errors.Join(err, h.refresh())
}

// announceFinished tells the world about a complete upload. A partial one means
// something only to the finals that wait for it.
func (e *engine) announceFinished(info FileInfo, request HTTPRequest) {
	e.metrics.UploadsFinished.Add(1)
	if info.IsPartial {
		e.wakeFinals(&info)
		return
	}
	e.events.publish(Event{Type: EventPostFinish, Upload: info, HTTPRequest: request})
}

// asksPreFinish tells whether a callback decides about the completion of an upload.
func (e *engine) asksPreFinish(info FileInfo) bool {
	return e.config.Callbacks.PreFinish != nil && !info.IsPartial
}

// isRefusal tells a decision from trouble that may pass.
func isRefusal(err error) bool {
	var own *Error
	return errors.As(err, &own) && !own.Transient
}

// resume goes on with the uploads that were being finished, and the finals
// that were not built, when the server stopped.
func (e *engine) resume() {
	e.work.Start(func() {
		err := e.eachSideRecord(kindFinishing, func(_ SideKey, value []byte) error {
			e.finishLater(string(value))
			return nil
		})
		if err != nil && e.background.Err() == nil {
			e.log.Error("cannot list what was being finished when the server stopped", "err", err)
		}
	})
	e.rescanFinals(0)
}

// eachSideRecord calls f for the side records of a kind.
func (e *engine) eachSideRecord(kind string, f func(SideKey, []byte) error) error {
	const page = 1000 // stores may read all names for each page
	for cursor := ""; ; {
		names, next, err := e.store.SideRecords.ListSides(e.background, kind, cursor, page)
		if err != nil {
			return err
		}
		for _, name := range names {
			key := SideKey{Kind: kind, Name: name}
			value, err := e.store.SideRecords.GetSide(e.background, key)
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if err == nil {
				err = f(key, value)
			}
			if err != nil {
				return err
			}
		}
		if cursor = next; next == "" {
			return nil
		}
	}
}

// deleteSideRecord removes a side record that has served.
func (e *engine) deleteSideRecord(ctx context.Context, key SideKey) error {
	return e.store.SideRecords.DeleteSide(ctx, key)
}

// finishingKey names the side record of an upload; ids themselves may be too
// long and too colourful for a key.
func finishingKey(id string) SideKey {
	return SideKey{Kind: kindFinishing, Name: hashName(id)}
}

func hashName(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
