package tusd

import (
	"context"
	"errors"
	"time"
)

// preemptedTimeout is how long a HEAD that a newer request has overtaken waits
// for the lock without asking: most of those who overtake are as short as it is.
const preemptedTimeout = time.Second

// status tells the state of an upload for a client that wants to go on with
// it. A running request on the upload is ended: its offset is what the next
// request may use.
//
// A final upload is not locked: a builder would not let go, and the answer is
// only whether it is done.
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

// finalStatus reads the record of a final beside its builder.
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

// authorizedInfo tells which dialect made an upload, for requests that carry no mark
// of one.
func (e *engine) authorizedInfo(c *operation, id string) (FileInfo, error) {
	if err := e.authorize(c, id); err != nil {
		return FileInfo{}, err
	}
	_, info, err := e.peek(c.ctx, id)
	return info, err
}

// checkKnown returns an error if the client may not know of the upload or it does
// not exist.
func (e *engine) checkKnown(c *operation, id string) error {
	if err := e.authorize(c, id); err != nil {
		return err
	}
	_, _, err := e.peek(c.ctx, id)
	return err
}
