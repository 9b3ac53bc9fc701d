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

// acquire locks an upload and loads it: authorize, lock, load. The caller
// releases the result, or hands it to who does.
func (e *engine) acquire(c *operation, id string) (*lockedUpload, error) {
	if err := e.authorize(c, id); err != nil {
		return nil, err
	}
	if e.finishing.Locked(id) {
		return nil, ErrUploadFinishing
	}
	return e.lockAndLoad(c.ctx, id, LockPreempt)
}

// lockAndLoad locks and loads without asking anybody.
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

// lock takes the lease on an id without loading anything.
func (e *engine) lock(ctx context.Context, id string, mode LockMode) (*lockedUpload, error) {
	lease, err := e.acquireLease(ctx, id, mode)
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return nil, ErrUnexpectedEOF.With(err) // the client did not wait
	}
	if err != nil {
		return nil, err
	}
	h := &lockedUpload{id: id, lease: lease, times: &e.metrics.store}
	h.work = contexts.Graceful{Lazy: contexts.Lazy{Parent: lease.Context()}, Client: ctx, Grace: e.config.GracePeriod}
	h.ctx = &h.work
	return h, nil
}

// acquireLease waits for a lock as long as a request may. A lock that is free and
// near is had without the cost of a timer.
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

// refresh brings info up to date with the upload. It is not inlined so that
// what it copies does not lie on the stack below a whole request.
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

// finish tells the store that the upload has all its bytes.
func (h *lockedUpload) finish(ctx context.Context) error {
	defer h.times.finish.since(time.Now())
	return h.upload.FinishUpload(ctx)
}

// release gives the lease back, which every locker does in bounded time; a
// second call does nothing. What
// stays locked for lack of a lock service comes free by the lease's own end.
func (h *lockedUpload) release() {
	h.lease.Unlock(h.lease.Context()) // an error tells only that others will have to wait
	h.work.Cancel()
}

// remove removes the upload from the store, which can.
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

// announceLength writes down the length that the client says the upload will have.
func (h *lockedUpload) announceLength(length int64) error {
	return h.update(h.ctx, func(info *FileInfo) error {
		info.KnownLength = &length
		return nil
	})
}

// withLength is the upload as it will be with that length, -1 if that is not
// known.
func (h *lockedUpload) withLength(length int64) *FileInfo {
	if length < 0 {
		return &h.info
	}
	info := h.info
	info.KnownLength = &length
	return &info
}

// declareLength fixes the length of an upload; -1 takes that back.
func (e *engine) declareLength(h *lockedUpload, length int64) error {
	if e.store.LengthDeferrer == nil {
		return ErrNotImplemented
	}
	defer h.times.declare.since(time.Now())
	return e.store.LengthDeferrer.DeclareLength(h.ctx, h.upload, length)
}
