package tusd

import (
	"fmt"
	"strings"
	"time"

	"github.com/tus/tusd/internal/contexts"
)

// creationRequest is a request for a new upload, as a dialect has read it.
type creationRequest struct {
	length      int64 // bytes; if not deferred
	deferred    bool
	metadata    MetaData
	rawMetaData string // Upload-Metadata byte for byte
	partial     bool
	final       *finalRequest // nil: it is not a final upload

	// The IETF draft's ways: the upload stays open until a request completes
	// it, this one if complete is set. length, -1 if not known, is only what
	// the client says it will be.
	explicitCompletion bool
	complete           bool
	failsIfTooLong     bool     // too much content makes the upload useless
	digests            []Digest // that the client wants kept
}

// create makes an upload and stores the body, if there is one.
func (e *engine) create(c *operation, req creationRequest) (operationResult, error) {
	if req.final != nil {
		req.final.metadata, req.final.rawMeta = req.metadata, req.rawMetaData
		return e.concatenate(c, *req.final)
	}
	if err := e.checkCreation(c, req); err != nil {
		return operationResult{}, err
	}
	info := e.newInfo(c, req.metadata, req.rawMetaData)
	info.IsPartial, info.SizeIsDeferred = req.partial, req.deferred || req.explicitCompletion
	info.Digests = e.newDigests(req.digests)
	switch {
	case !info.SizeIsDeferred:
		info.Size = req.length
	case req.explicitCompletion && req.length >= 0:
		info.KnownLength = &req.length
	}
	h, res, err := e.createLocked(c, info)
	if err != nil {
		return res, err
	}
	defer h.release()
	err = e.storeInitialContent(c, h, req)
	finished, err := e.finishOrRelease(c, h, err)
	res.merge(finished)
	return res, err
}

// storeInitialContent stores the content that came with a creation.
func (e *engine) storeInitialContent(c *operation, h *lockedUpload, req creationRequest) error {
	switch {
	case c.body == nil && req.complete:
		return e.completeAtOffset(h)
	case c.body == nil:
		return nil
	case c.onCreated != nil:
		c.onCreated(h.info)
	}
	err := e.limitBody(c, &h.info)
	if err == nil {
		err = e.receive(c, h, req.complete)
	}
	if err != nil {
		return e.failOversized(c, h, req.failsIfTooLong, err)
	}
	return nil
}

// checkCreation refuses what can be refused before anything is stored.
func (e *engine) checkCreation(c *operation, req creationRequest) error {
	if req.explicitCompletion && e.store.LengthDeferrer == nil {
		return ErrNotImplemented
	}
	if req.deferred || req.explicitCompletion && req.length < 0 {
		if e.store.LengthDeferrer == nil || e.config.DisableDeferLength && !req.explicitCompletion {
			return ErrNotImplemented
		}
		if c.body != nil && e.tooLarge(c.body.length) {
			return ErrMaxSizeExceeded
		}
		return nil
	}
	if e.tooLarge(req.length) {
		return ErrMaxSizeExceeded
	}
	if c.body != nil && c.body.length > req.length {
		return ErrUploadSizeExceeded
	}
	return nil
}

func (e *engine) tooLarge(length int64) bool {
	return e.config.MaxSize > 0 && length > e.config.MaxSize
}

// newInfo is the record that every kind of new upload starts from.
func (e *engine) newInfo(c *operation, metadata MetaData, raw string) FileInfo {
	return FileInfo{
		MetaData:    metadata,
		RawMetaData: raw,
		Version:     RecordVersion,
		Created:     e.now().UTC(),
		Digests:     e.newDigests(nil),
		Dialect:     c.dialect,
	}
}

// createLocked asks the pre-create callback, takes the lease on the new id and
// stores the record. The caller releases the hold.
func (e *engine) createLocked(c *operation, info FileInfo) (*lockedUpload, operationResult, error) {
	response, err := e.preCreate(c, &info)
	if err != nil {
		return nil, operationResult{}, err
	}
	h, err := e.storeNew(c, info)
	if err != nil {
		return nil, operationResult{}, err
	}
	e.metrics.UploadsCreated.Add(1)
	e.publish(c, EventPostCreate, h.info)
	return h, operationResult{info: &h.info, response: response}, nil
}

// preCreate lets the callback refuse or change the upload, and gives it an id.
func (e *engine) preCreate(c *operation, info *FileInfo) (HTTPResponse, error) {
	var response HTTPResponse
	if err := e.config.checkAnswerSize(info); err != nil {
		return response, err
	}
	if callback := e.config.Callbacks.PreCreate; callback != nil {
		var changes FileInfoChanges
		var err error
		event := Event{Type: EventPreCreate, Upload: info.Clone(), HTTPRequest: c.from.request()}
		ctx, stop := contexts.Outlive(c.ctx, e.config.GracePeriod)
		defer stop()
		response, err = consult(func() (response HTTPResponse, err error) {
			response, changes, err = callback(ctx, event)
			return response, err
		})
		if err != nil {
			return response, err
		}
		changes.apply(info)
		*info = info.Clone() // the callback may have kept what it has returned
		info.ID, info.MetaData, info.Storage = strings.Clone(info.ID), ownTexts(info.MetaData), ownTexts(info.Storage)
		if err := e.config.checkAnswerSize(info); err != nil {
			return response, err
		}
	}
	if info.ID == "" {
		info.ID = newID()
	} else if err := ValidateID(info.ID); err != nil {
		return response, ErrInvalidName.With(fmt.Errorf("pre-create callback chose id %q: %w", info.ID, err))
	}
	if info.IsFinal || e.callsPreFinish(*info) || verifies(info.Digests) {
		info.State = StateUploading // the data alone cannot tell that it was built, verified, or that the callback agreed
	}
	return response, nil
}

// apply changes info as the callback wants.
func (c FileInfoChanges) apply(info *FileInfo) {
	info.ID = c.ID
	if c.MetaData != nil {
		info.MetaData, info.RawMetaData = c.MetaData, ""
	}
	if c.Storage != nil {
		info.Storage = c.Storage
	}
}

// storeNew stores the record under a lease. Nobody can know a new id, so the
// lock is only contended if a callback chose an id that exists.
func (e *engine) storeNew(c *operation, info FileInfo) (*lockedUpload, error) {
	h, err := e.lock(c.ctx, info.ID, LockTry)
	if err != nil {
		return nil, err
	}
	stored := false
	defer func() {
		if !stored {
			h.release()
		}
	}()
	defer e.metrics.store.create.since(time.Now())
	if h.upload, err = e.store.Core.NewUpload(h.ctx, h.lease, info); err == nil {
		err = h.refresh()
	}
	stored = err == nil
	return h, err
}
