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
func (e *engine) append(op *operation, req *appendRequest) (operationResult, error) {
	if e.building.Locked(req.id) { // the builder keeps the lock until the final is built
		if err := e.checkNoFinal(op, req.id); err != nil {
			return operationResult{}, err
		}
	}
	op.ctx = &claimedOffset{op.ctx, req.offset}
	u, err := e.acquire(op, req.id)
	if err != nil {
		return operationResult{}, err
	}
	defer u.release()
	complete, before := u.info.isComplete(), recordedLength{u.info.Offset, u.info.SizeIsDeferred, u.info.KnownLength, u.info.Digests}
	if err := e.checkAppend(op, u, req); err != nil {
		err = e.failOversized(op, u, req.failsIfTooLong, err)
		return operationResult{info: &u.info}, err
	}
	switch {
	case complete:
		u.release() // drain the body without holding the lock
		return operationResult{info: &u.info}, op.body.requireEmpty()
	case u.info.isFull(): // because this request gives the length
		err = op.body.requireEmpty()
	default:
		err = e.receive(op, u, req.complete)
	}
	if err != nil {
		err = e.revertRecord(u, req, &before, err)
		err = e.failOversized(op, u, req.failsIfTooLong, err)
	} else {
		err = e.renewExpiration(u, u.info.Offset-before.offset)
	}
	return e.finishOrRelease(op, u, err)
}

// checkNoFinal refuses content for a final upload. It is not inlined: the stack of a slow
// upload is that of append, as long as it runs, and must not hold a record.
//
//go:noinline
func (e *engine) checkNoFinal(op *operation, id string) error {
	info, err := e.authorizedInfo(op, id)
	if err == nil && info.IsFinal {
		err = ErrModifyFinal
	}
	return err
}

// checkAppend checks the request against the upload's state and prepares the
// record for it.
func (e *engine) checkAppend(op *operation, u *lockedUpload, req *appendRequest) error {
	if u.info.IsFinal {
		return ErrModifyFinal
	}
	if err := e.checkUsable(&u.info); err != nil {
		return err
	}
	if req.offset != u.info.Offset {
		return ErrMismatchedOffset
	}
	length, err := e.checkLength(op, &u.info, req)
	if err != nil {
		return err
	}
	if err := e.limitBody(op, u.withLength(length)); err != nil {
		return err
	}
	if op.body.length == 0 { // verify the checksum of an empty body before the record changes
		if err := op.body.requireEmpty(); err != nil {
			return err
		}
	}
	if err := e.makeVisible(u); err != nil {
		return err
	}
	return e.prepareRecord(u, req, length)
}

// checkLength returns the length that the request gives to the upload, -1 if
// none. A length that contradicts the upload is an error.
func (e *engine) checkLength(op *operation, info *FileInfo, req *appendRequest) (int64, error) {
	length, known, mismatch := req.length, info.length(), ErrInvalidUploadLength
	if req.announcesLength {
		mismatch = ErrInconsistentLength
	}
	if req.complete && op.body.length >= 0 {
		end := info.Offset + op.body.length
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
// the digests to compare, and StateUploading if the record decides about completion.
func (e *engine) prepareRecord(u *lockedUpload, req *appendRequest, length int64) error {
	var err error
	if e.decidesFinish(&u.info) && u.info.State == "" && !u.info.isComplete() {
		err = u.setState(u.ctx, StateUploading, nil) // before the length, which may make the upload full
	}
	if err == nil && !u.info.isComplete() {
		err = u.wantDigests(req.digests)
	}
	if err == nil {
		err = e.recordLength(u, req, length)
	}
	if err != nil {
		return err
	}
	return u.refresh(u.ctx)
}

// recordLength writes the length that the request gives to the record.
func (e *engine) recordLength(u *lockedUpload, req *appendRequest, length int64) error {
	switch {
	case length < 0 || !u.info.SizeIsDeferred:
	case !req.announcesLength:
		return e.declareLength(u, length)
	case u.info.KnownLength == nil:
		return u.announceLength(length)
	}
	return nil
}

// recordedLength is what revertRecord needs of the record before the request.
type recordedLength struct {
	offset   int64
	deferred bool
	known    *int64
	digests  []Digest
}

// revertRecord undoes the length that prepareRecord wrote if the content is refused, and
// the digests if no byte of it was stored. Nothing is undone after a transient error,
// because the client sends the same request again, or if the stored bytes made the
// upload full. It returns err, joined with its own error.
func (e *engine) revertRecord(u *lockedUpload, req *appendRequest, before *recordedLength, err error) error {
	declared := before.deferred && !u.info.SizeIsDeferred
	announced := before.known == nil && u.info.KnownLength != nil
	stored := u.info.Offset > before.offset
	digests := !stored && verifies(req.digests)
	if asError(err).Transient || stored && u.info.isFull() || !declared && !announced && !digests {
		return err
	}
	oldLength, oldDigests := before.known, before.digests // without the copies, before escapes to the heap in every PATCH
	var revertErr error
	if declared {
		revertErr = e.declareLength(u, -1)
	}
	if revertErr == nil && (announced || digests) {
		revertErr = u.update(u.ctx, func(info *FileInfo) error {
			info.KnownLength = oldLength
			if digests {
				info.Digests = oldDigests
			}
			return nil
		})
	}
	if revertErr = cmp.Or(revertErr, u.refresh(u.ctx)); revertErr != nil {
		return errors.Join(err, revertErr)
	}
	return err
}

// failOversized fails an upload of deferred length if failsIfTooLong is set and the
// client announced or sent more bytes than its length, or sent more than the limit. It
// returns err joined with the error of reading the record again, or the error of writing
// the state.
func (e *engine) failOversized(op *operation, u *lockedUpload, failsIfTooLong bool, err error) error {
	sent := op.body != nil && op.body.ended() // not only announced
	tooLong := errors.Is(err, ErrUploadSizeExceeded) || errors.Is(err, ErrMaxSizeExceeded) && sent
	stopped := op.body != nil && op.body.deadlines.Aborted() != nil // by a program, which may answer with such an error
	if !failsIfTooLong || !tooLong || stopped || !u.info.SizeIsDeferred {
		return err
	}
	failure := &Failure{Code: ErrUploadFailed.Code, StatusCode: ErrUploadFailed.Status.IETF}
	if stateErr := u.setState(u.ctx, StateFailed, failure); stateErr != nil {
		return stateErr
	}
	if u.info.IsPartial {
		e.wakeFinals(&u.info)
	}
	return errors.Join(err, u.refresh(u.ctx))
}

// finishOrRelease ends a request that has changed an upload and releases the lock. A
// full upload is finished first, also if the client disconnects. err is the result of
// the request so far.
func (e *engine) finishOrRelease(op *operation, u *lockedUpload, err error) (operationResult, error) {
	res := operationResult{info: &u.info}
	if u.info.State == StateFailed || !u.info.isFull() {
		u.release()
	} else {
		finished, finishErr := e.finishSoon(op.ctx, u, e.eventRequest(op))
		res.merge(finished)
		if err == nil {
			err = finishErr
		}
	}
	e.catchUpIfBehind(res.info)
	return res, err
}
