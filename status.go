package tusd

import (
	"context"
	"errors"
	"time"
)

// preemptedTimeout is how long a HEAD that a newer request has overtaken waits for the
// lock without preempting. Most of the newer requests are as short as this one.
const preemptedTimeout = time.Second

// status returns the state of an upload to a client that wants to resume it. It
// interrupts a running request on the upload, so that the returned offset is the one
// for the next request.
//
// A final upload is not locked: its builder would not let go, and the answer says only
// whether it is complete.
func (e *engine) status(c *operation, id string) (FileInfo, error) {
	if e.building.Locked(id) {
		if info, err := e.finalStatus(c, id); err != nil || info.IsFinal {
			return info, err
		}
	}
	h, err := e.acquire(c, id)
	if errors.Is(err, ErrUploadLocked) {
		ctx, cancel := context.WithTimeout(c.ctx, preemptedTimeout)
		defer cancel()
		h, err = e.lockAndLoad(ctx, id, LockWait)
	}
	if err != nil {
		return FileInfo{}, err
	}
	defer h.release()
	if h.info.IsFinal && !h.info.Full() && h.info.State != StateFailed {
		if !e.isWaiting(c.ctx, id) {
			e.buildLater(id)
		}
		return h.info, nil
	}
	e.catchUpIfBehind(&h.info)
	return h.info, e.checkUsable(&h.info)
}

// finalStatus reads the record of a final while its builder works.
func (e *engine) finalStatus(c *operation, id string) (FileInfo, error) {
	if err := e.authorize(c, id); err != nil {
		return FileInfo{}, err
	}
	_, info, err := e.peek(c.ctx, id)
	if err == nil && info.State == StateFailed {
		err = failedError(&info)
	}
	return info, err
}

// authorizedInfo returns the record of an upload without locking it, for requests
// without a mark of a dialect: it has the dialect that created the upload.
func (e *engine) authorizedInfo(c *operation, id string) (FileInfo, error) {
	if err := e.authorize(c, id); err != nil {
		return FileInfo{}, err
	}
	_, info, err := e.peek(c.ctx, id)
	return info, err
}

// checkKnown returns an error if the client may not use the upload, or if it does not
// exist.
func (e *engine) checkKnown(c *operation, id string) error {
	if err := e.authorize(c, id); err != nil {
		return err
	}
	_, _, err := e.peek(c.ctx, id)
	return err
}
