package tusd

import (
	"cmp"
	"errors"
)

// appendRequest is a request to add data to an upload, as a dialect reads it.
type appendRequest struct {
	id     string
	offset int64
	length int64 // of the whole upload, in bytes; -1: the request does not say

	// In the IETF draft the length is announced and does not complete the
	// upload, only complete does. A body that is too long may fail the upload.
	announcesLength bool
	complete        bool
	failsIfTooLong  bool
	digests         []Digest // that the client wants compared when it is complete
}

// append stores the body at the end of an upload. The result is valid with an
// error, too: info.Offset is the upload's offset if info.ID is set.
func (e *engine) append(c *operation, req *appendRequest) (operationResult, error) {
	if e.building.Locked(req.id) { // the builder keeps the lock until the final is built
		if info, err := e.authorizedInfo(c, req.id); err != nil || info.IsFinal {
			return operationResult{}, cmp.Or(err, error(ErrModifyFinal))
		}
	}
	c.ctx = &claimedOffset{c.ctx, req.offset}
	h, err := e.acquire(c, req.id)
	if err != nil {
		return operationResult{}, err
	}
	defer h.release()
	complete, before := h.info.Complete(), h.info
	if err := e.checkAppend(c, h, req); err != nil {
		err = e.failOversized(c, h, req.failsIfTooLong, err)
		return operationResult{info: &h.info}, err
	}
	switch {
	case complete:
		h.release() // drain the body without holding the lock
		return operationResult{info: &h.info}, c.body.requireEmpty()
	case h.info.Full(): // because this request gives the length
		err = c.body.requireEmpty()
	default:
		err = e.receive(c, h, req.complete)
	}
	if err != nil {
		err = e.revertRecord(h, req, &before, err)
		err = e.failOversized(c, h, req.failsIfTooLong, err)
	}
	return e.finishOrRelease(c, h, err)
}

// checkAppend checks the request against the upload's state and prepares the
// record for it.
func (e *engine) checkAppend(c *operation, h *lockedUpload, req *appendRequest) error {
	if h.info.IsFinal {
		return ErrModifyFinal
	}
	if err := e.checkUsable(&h.info); err != nil {
		return err
	}
	if req.offset != h.info.Offset {
		return ErrMismatchedOffset
	}
	length, err := e.checkLength(c, &h.info, req)
	if err != nil {
		return err
	}
	if err := e.limitBody(c, h.withLength(length)); err != nil {
		return err
	}
	if c.body.length == 0 { // verify the checksum of an empty body before the record changes
		if err := c.body.requireEmpty(); err != nil {
			return err
		}
	}
	return e.prepareRecord(h, req, length)
}

// checkLength returns the length that the request gives to the upload, -1 if
// none. A length that contradicts the upload is an error.
func (e *engine) checkLength(c *operation, info *FileInfo, req *appendRequest) (int64, error) {
	length, known, mismatch := req.length, info.length(), ErrInvalidUploadLength
	if req.announcesLength {
		mismatch = ErrInconsistentLength
	}
	if req.complete && c.body.length >= 0 {
		end := info.Offset + c.body.length
		switch {
		case length >= 0 && length != end:
			return -1, mismatch
		case known >= 0 && end > known:
			return -1, ErrUploadSizeExceeded
		}
		length = end
	}
	switch {
	case length < 0:
		return -1, nil
	case known >= 0 && length != known, length < info.Offset:
		return -1, mismatch
	case known < 0 && e.tooLarge(length):
		return -1, ErrMaxSizeExceeded
	}
	return length, nil
}

// prepareRecord writes to the record what it needs before the data: the length,
// the digests to compare, and StateUploading if a callback decides about completion.
func (e *engine) prepareRecord(h *lockedUpload, req *appendRequest, length int64) error {
	err := e.recordLength(h, req, length)
	if err == nil && e.callsPreFinish(h.info) && h.info.State == "" && !h.info.Complete() {
		err = h.setState(h.ctx, StateUploading, nil)
	}
	if err == nil && !h.info.Complete() {
		err = h.wantDigests(req.digests)
	}
	if err != nil {
		return err
	}
	return h.refresh()
}

// recordLength writes the length that the request gives to the record.
func (e *engine) recordLength(h *lockedUpload, req *appendRequest, length int64) error {
	switch {
	case length < 0 || !h.info.SizeIsDeferred:
	case !req.announcesLength:
		return e.declareLength(h, length)
	case h.info.KnownLength == nil:
		return h.announceLength(length)
	}
	return nil
}

// revertRecord undoes what prepareRecord wrote if the content is refused: a refused
// request changes nothing. After a transient error the record stays, because the
// client sends the same request again. It returns err, joined with its own error.
func (e *engine) revertRecord(h *lockedUpload, req *appendRequest, before *FileInfo, err error) error {
	declared := before.SizeIsDeferred && !h.info.SizeIsDeferred
	announced := before.KnownLength == nil && h.info.KnownLength != nil
	stored := h.info.Offset > before.Offset
	digests := !stored && verifies(req.digests)
	if asError(err).Transient || stored && h.info.Full() || !declared && !announced && !digests {
		return err
	}
	oldLength, oldDigests := before.KnownLength, before.Digests // without the copies, before escapes to the heap in every PATCH
	var revertErr error
	if declared {
		revertErr = e.declareLength(h, -1)
	}
	if revertErr == nil && (announced || digests) {
		revertErr = h.update(h.ctx, func(info *FileInfo) error {
			info.KnownLength = oldLength
			if digests {
				info.Digests = oldDigests
			}
			return nil
		})
	}
	if revertErr = cmp.Or(revertErr, h.refresh()); revertErr != nil {
		return errors.Join(err, revertErr)
	}
	return err
}

// failOversized fails an upload whose client sent more bytes than its length or
// than the limit, if failsIfTooLong is set. It returns err, or the error of writing
// the state.
func (e *engine) failOversized(c *operation, h *lockedUpload, failsIfTooLong bool, err error) error {
	sent := c.body != nil && c.body.ended() // not only announced
	tooLong := errors.Is(err, ErrUploadSizeExceeded) || errors.Is(err, ErrMaxSizeExceeded) && sent
	if !failsIfTooLong || !tooLong || !h.info.SizeIsDeferred {
		return err
	}
	failure := &Failure{Code: ErrUploadFailed.Code, StatusCode: ErrUploadFailed.Status.IETF}
	if stateErr := h.setState(h.ctx, StateFailed, failure); stateErr != nil {
		return stateErr
	}
	if h.info.IsPartial {
		e.wakeFinals(&h.info)
	}
	return errors.Join(err, h.refresh())
}

// finishOrRelease ends a request that has changed an upload and releases the lock. A
// full upload is finished first, also if the client disconnects. err is the result of
// the request so far.
func (e *engine) finishOrRelease(c *operation, h *lockedUpload, err error) (operationResult, error) {
	res := operationResult{info: &h.info}
	if h.info.State == StateFailed || !h.info.Full() {
		h.release()
	} else {
		finished, finishErr := e.finish(h, e.eventRequest(c))
		res.merge(finished)
		if err == nil {
			err = finishErr
		}
	}
	e.catchUpIfBehind(res.info)
	return res, err
}
