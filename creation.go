package tusd

import (
	"fmt"
	"strings"
	"time"

	"github.com/tus/tusd/internal/contexts"
)

// creationRequest is a request for a new upload, as a dialect reads it.
type creationRequest struct {
	length      int64 // bytes; if not deferred
	deferred    bool
	metadata    MetaData
	rawMetaData string // Upload-Metadata byte for byte
	partial     bool
	final       *finalRequest // nil: it is not a final upload

	// In the IETF draft only a request with complete set completes the upload.
	// length is announced, and the upload's length counts as deferred; -1: not
	// known.
	announcesLength bool
	complete        bool
	failsIfTooLong  bool     // a body that is too long fails the upload
	digests         []Digest // that the client asks for
}

// create creates an upload and stores the body, if there is one.
func (e *engine) create(op *operation, req *creationRequest) (operationResult, error) {
	if req.final != nil {
		req.final.metadata, req.final.rawMeta = req.metadata, req.rawMetaData
		return e.concatenate(op, *req.final)
	}
	if err := e.checkCreation(op, req); err != nil {
		return operationResult{}, err
	}
	info := e.newInfo(op, req.metadata, req.rawMetaData)
	info.IsPartial, info.SizeIsDeferred = req.partial, req.deferred || req.announcesLength
	info.Digests = e.newDigests(req.digests)
	switch {
	case !info.SizeIsDeferred:
		info.Size = req.length
	case req.announcesLength && req.length >= 0:
		length := req.length
		info.KnownLength = &length
	}
	u, res, err := e.createLocked(op, info)
	if err != nil {
		return res, err
	}
	defer u.release()
	err = e.storeInitialContent(op, u, req)
	finished, err := e.finishOrRelease(op, u, err)
	res.merge(finished)
	return res, err
}

// storeInitialContent stores the body of a creation.
func (e *engine) storeInitialContent(op *operation, u *lockedUpload, req *creationRequest) error {
	switch {
	case op.body == nil && req.complete:
		return e.completeAtOffset(u)
	case op.body == nil:
		return nil
	case op.onCreated != nil:
		op.onCreated(u.info)
	}
	err := e.limitBody(op, &u.info)
	if err == nil {
		err = e.receive(op, u, req.complete)
	}
	if err != nil {
		return e.failOversized(op, u, req.failsIfTooLong, err)
	}
	return e.renewExpiration(u, u.info.Offset)
}

// checkCreation refuses a creation whose length cannot be stored, before the
// callback is called.
func (e *engine) checkCreation(op *operation, req *creationRequest) error {
	if req.announcesLength && e.store.LengthDeferrer == nil {
		return ErrNotImplemented
	}
	if req.deferred || req.announcesLength && req.length < 0 {
		if e.store.LengthDeferrer == nil || e.config.DisableDeferLength && !req.announcesLength {
			return ErrNotImplemented
		}
		if op.body != nil && e.tooLarge(op.body.length) {
			return ErrMaxSizeExceeded
		}
		return nil
	}
	if e.tooLarge(req.length) {
		return ErrMaxSizeExceeded
	}
	if op.body != nil && op.body.length > req.length {
		return ErrUploadSizeExceeded
	}
	return nil
}

func (e *engine) tooLarge(length int64) bool {
	return e.config.MaxSize > 0 && length > e.config.MaxSize
}

// newInfo returns a record with the fields that every new upload has. It is not on the
// stack, which a slow upload would keep.
func (e *engine) newInfo(op *operation, metadata MetaData, raw string) *FileInfo {
	return &FileInfo{
		MetaData:    metadata,
		RawMetaData: raw,
		Version:     RecordVersion,
		Created:     e.now().UTC(),
		Digests:     e.newDigests(nil),
		Dialect:     op.dialect,
	}
}

// createLocked calls the pre-create callback, which may change info, locks the new id
// and stores the record. The caller releases the lock.
func (e *engine) createLocked(op *operation, info *FileInfo) (*lockedUpload, operationResult, error) {
	response, err := e.preCreate(op, info)
	if err != nil {
		return nil, operationResult{}, err
	}
	u, err := e.storeNew(op, info)
	if err != nil {
		return nil, operationResult{}, err
	}
	e.metrics.UploadsCreated.Add(1)
	e.publishCreation(op, u)
	return u, operationResult{info: &u.info, response: response}, nil
}

// preCreate calls the pre-create callback, which may refuse or change the upload,
// and sets the id and the state of the record.
func (e *engine) preCreate(op *operation, info *FileInfo) (HTTPResponse, error) {
	var response HTTPResponse
	if err := e.config.checkAnswerSize(info); err != nil {
		return response, err
	}
	if e.config.Callbacks.PreCreate != nil {
		var err error
		if response, err = e.callPreCreate(op, info); err != nil {
			return response, err
		}
	}
	if info.ID == "" {
		info.ID = newID()
	} else if err := ValidateID(info.ID); err != nil {
		return response, ErrInvalidName.With(fmt.Errorf("pre-create callback chose id %q: %w", info.ID, err))
	}
	if info.IsFinal || e.decidesFinish(info) || verifies(info.Digests) {
		info.State = StateUploading // the data alone does not show that it was built, verified, accepted by the callback or published
	}
	return response, nil
}

// callPreCreate calls the pre-create callback and applies its changes. It is not inlined:
// its copies of the record need a large stack, which a slow upload would keep.
//
//go:noinline
func (e *engine) callPreCreate(op *operation, info *FileInfo) (HTTPResponse, error) {
	var changes FileInfoChanges
	event := Event{Type: EventPreCreate, Upload: info.Clone(), HTTPRequest: op.from.request()}
	ctx, stop := contexts.Outlive(op.ctx, e.config.GracePeriod)
	defer stop()
	response, err := consult(func() (response HTTPResponse, err error) {
		response, changes, err = e.config.Callbacks.PreCreate(ctx, event)
		return response, err
	})
	if err != nil {
		return response, err
	}
	if at := changes.Expires; !at.IsZero() && !e.now().Before(at) {
		return response, fmt.Errorf("pre-create callback: the upload would have expired at %v", at)
	}
	for key := range changes.MetaData {
		if !isMetaDataKey(key) {
			return response, ErrInvalidMetaData.With(fmt.Errorf("pre-create callback chose the key %.64q", key))
		}
	}
	changes.apply(info)
	*info = info.Clone() // the callback may modify its maps later
	info.ID, info.Owner, info.MetaData, info.Storage = strings.Clone(info.ID), strings.Clone(info.Owner), ownTexts(info.MetaData), ownTexts(info.Storage)
	return response, e.config.checkAnswerSize(info)
}

// apply applies the changes to info.
func (c FileInfoChanges) apply(info *FileInfo) {
	info.ID, info.Owner, info.Expires = c.ID, c.Owner, c.Expires.UTC()
	if c.MetaData != nil {
		info.MetaData, info.RawMetaData = c.MetaData, ""
	}
	if c.Storage != nil {
		info.Storage = c.Storage
	}
}

// storeNew locks the id and stores the record. No client knows a generated id, so
// the lock is free unless a callback chose an id that exists.
func (e *engine) storeNew(op *operation, info *FileInfo) (*lockedUpload, error) {
	u, err := e.lock(op.ctx, info.ID, LockTry)
	if err != nil {
		return nil, err
	}
	stored := false
	defer func() {
		if !stored {
			u.release()
		}
	}()
	if err = e.recordCreation(op, u, info); err != nil {
		return nil, err
	}
	defer e.metrics.store.create.since(time.Now())
	if u.upload, err = e.store.Core.NewUpload(u.ctx, u.lease, *info); err == nil {
		err = u.refresh(u.ctx)
	} else {
		e.forgetRefusedCreation(u, info, err)
	}
	stored = err == nil
	return u, err
}
