package tusd

import (
	"context"
	"errors"
	"time"

	"github.com/tus/tusd/internal/contexts"
)

// lockedUpload is an upload under its lease.
type lockedUpload struct {
	id     string
	lease  Lease
	upload Upload
	info   FileInfo
	ctx    context.Context // for store calls: work
	work   contexts.Graceful
	times  *storeTimes
}

// acquire authorizes the request, locks the upload and loads it. The caller releases
// the result, or passes it to a function that does.
func (e *engine) acquire(c *operation, id string) (*lockedUpload, error) {
	if err := e.authorize(c, id); err != nil {
		return nil, err
	}
	if e.finishing.Locked(id) {
		return nil, ErrUploadFinishing
	}
	return e.lockAndLoad(c.ctx, id, LockPreempt)
}

// lockAndLoad locks an upload and loads it, without authorization.
func (e *engine) lockAndLoad(ctx context.Context, id string, mode LockMode) (*lockedUpload, error) {
	h, err := e.lock(ctx, id, mode)
	if err != nil {
		return nil, err
	}
	loaded := false
	defer func() {
		if !loaded {
			h.release()
		}
	}()
	if err := h.load(e.store.Core); err != nil {
		return nil, err
	}
	loaded = true
	return h, nil
}

// lock takes the lease on an id and loads nothing.
func (e *engine) lock(ctx context.Context, id string, mode LockMode) (*lockedUpload, error) {
	lease, err := e.acquireLease(ctx, id, mode)
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return nil, ErrUnexpectedEOF.With(err) // the client has disconnected
	}
	if err != nil {
		return nil, err
	}
	h := &lockedUpload{id: id, lease: lease, times: &e.metrics.store}
	h.work = contexts.Graceful{Lazy: contexts.Lazy{Parent: lease.Context()}, Client: ctx, Grace: e.config.GracePeriod}
	h.ctx = &h.work
	return h, nil
}

// acquireLease waits for a lock at most Config.AcquireLockTimeout. A local lock is
// tried first: if it is free, that saves a timer.
func (e *engine) acquireLease(ctx context.Context, id string, mode LockMode) (Lease, error) {
	defer e.metrics.LockWait.since(time.Now())
	if e.store.Locker.Scope() != ScopeLease {
		lease, err := e.store.Locker.Lock(ctx, id, LockTry)
		if mode == LockTry || !errors.Is(err, ErrUploadLocked) {
			return lease, err
		}
	}
	wait, cancel := context.WithTimeout(ctx, e.config.AcquireLockTimeout)
	defer cancel()
	return e.store.Locker.Lock(wait, id, mode)
}

// load reads the upload under the lease.
func (h *lockedUpload) load(store DataStore) error {
	defer h.times.load.since(time.Now())
	var err error
	if h.upload, err = store.GetUpload(h.ctx, h.lease, h.id); err != nil {
		return err
	}
	return h.refresh()
}

// refresh reads info from the upload again. It is not inlined, so that its copy of the
// record is not on the stack below a whole request.
//
//go:noinline
func (h *lockedUpload) refresh() error {
	info, err := h.upload.GetInfo(h.ctx)
	if err == nil {
		h.info = info
	}
	return err
}

// update changes the record.
func (h *lockedUpload) update(ctx context.Context, change func(*FileInfo) error) error {
	defer h.times.update.since(time.Now())
	return h.upload.UpdateInfo(ctx, change)
}

// finish tells the store that the upload is full.
func (h *lockedUpload) finish(ctx context.Context) error {
	defer h.times.finish.since(time.Now())
	return h.upload.FinishUpload(ctx)
}

// release releases the lease, in bounded time. A second call does nothing. If the lock
// service is unreachable, the lease expires.
func (h *lockedUpload) release() {
	h.lease.Unlock(h.lease.Context()) // an error means only that other requests have to wait
	h.work.Cancel()
}

// remove removes the upload from the store, which has a Terminater.
func (e *engine) remove(h *lockedUpload) error {
	defer h.times.terminate.since(time.Now())
	if e.removing.TryLock(h.id) {
		defer e.removing.Unlock(h.id)
	}
	return e.store.Terminater.Terminate(h.ctx, h.lease, h.id)
}

// setState writes a state to the record.
func (h *lockedUpload) setState(ctx context.Context, state State, failure *Failure) error {
	return h.update(ctx, func(info *FileInfo) error {
		info.State, info.Failure = state, failure
		return nil
	})
}

// announceLength records the length that the client announces.
func (h *lockedUpload) announceLength(length int64) error {
	return h.update(h.ctx, func(info *FileInfo) error {
		info.KnownLength = &length
		return nil
	})
}

// withLength returns the record as it will be with that length; -1: the length is not
// known.
func (h *lockedUpload) withLength(length int64) *FileInfo {
	if length < 0 {
		return &h.info
	}
	info := h.info
	info.KnownLength = &length
	return &info
}

// declareLength declares the length of an upload to the store; -1 reverts that.
func (e *engine) declareLength(h *lockedUpload, length int64) error {
	if e.store.LengthDeferrer == nil {
		return ErrNotImplemented
	}
	defer h.times.declare.since(time.Now())
	return e.store.LengthDeferrer.DeclareLength(h.ctx, h.upload, length)
}
