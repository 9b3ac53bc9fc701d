package tusd

import (
	"context"
	"errors"
	"time"
)

// preemptedTimeout is how long a HEAD that a newer request has overtaken waits for the
// lock without preempting. Most of the newer requests are as short as this one.
const preemptedTimeout = time.Second

// status returns the offset and state of an upload to a client that wants to resume it. It
// interrupts a running request on the upload, so that the returned offset is the one
// for the next request.
//
// A final upload is not locked while its builder works: the builder would not release it,
// and the answer says only whether it is complete. Otherwise status starts a builder if
// the final needs one. An unbuilt final has no offset.
func (e *engine) status(op *operation, id string) (FileInfo, error) {
	if e.building.Locked(id) {
		if info, err := e.finalStatus(op, id); err != nil || info.IsFinal {
			return info, err
		}
	}
	u, err := e.acquireRecord(op, id)
	if errors.Is(err, ErrUploadLocked) {
		ctx, cancel := context.WithTimeout(op.ctx, preemptedTimeout)
		defer cancel()
		u, err = e.lockRecord(ctx, id, LockWait)
	}
	if err != nil {
		return FileInfo{}, err
	}
	defer u.release()
	if u.info.IsFinal && !u.info.Full() && u.info.State != StateFailed {
		if !e.isWaiting(op.ctx, id) {
			e.buildLater(id, uniqueIDs(u.info.PartialUploads)...)
		}
		return u.info, nil
	}
	e.catchUpIfBehind(&u.info)
	if err := e.checkUsable(&u.info); err != nil {
		return FileInfo{}, err
	}
	return u.info, u.makeDurable()
}

// finalStatus reads the record of a final while its builder works. Only a complete final
// shows its offset.
func (e *engine) finalStatus(op *operation, id string) (FileInfo, error) {
	if err := e.authorize(op, id); err != nil {
		return FileInfo{}, err
	}
	upload, info, err := e.peek(op.ctx, id)
	switch {
	case err != nil:
	case info.State == StateFailed:
		err = failedError(&info)
	case info.IsFinal && info.Complete():
		err = e.makeDurable(op.ctx, id, upload)
	}
	return info, err
}

// authorizedInfo authorizes the request and returns the record without locking the
// upload. Its offset may not be durable.
func (e *engine) authorizedInfo(op *operation, id string) (FileInfo, error) {
	if err := e.authorize(op, id); err != nil {
		return FileInfo{}, err
	}
	_, info, err := e.peek(op.ctx, id)
	return info, err
}

// checkKnown returns an error if the client may not use the upload, if it has expired, or
// if it does not exist.
func (e *engine) checkKnown(op *operation, id string) error {
	info, err := e.authorizedInfo(op, id)
	if err == nil && e.isExpired(&info) {
		err = ErrUploadExpired
	}
	return err
}
