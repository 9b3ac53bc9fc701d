package tusd

import (
	"context"
	"errors"
	"time"

	"github.com/tus/tusd/internal/background"
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

	unlocks    *background.Group // runs Unlock; nil: unlock calls it
	released   bool              // unlock has run; set only with unlocks
	handedOver bool              // another goroutine unlocks it: release does nothing
	intended   bool              // the side record of intendFinish is in the store
}

// Two kinds of functions lock an upload. After acquire and lockAndLoad the offset is
// durable, so that a client may see it. acquireRecord and lockRecord cause no sync: they
// are for work on the record, and for answers that show no offset.

// acquire authorizes the request, locks the upload and loads it. The offset is durable.
// The caller releases the result, or passes it to a function that does.
func (e *engine) acquire(op *operation, id string) (*lockedUpload, error) {
	return withDurableOffset(e.acquireRecord(op, id))
}

// lockAndLoad is acquire without authorization.
func (e *engine) lockAndLoad(ctx context.Context, id string, mode LockMode) (*lockedUpload, error) {
	return withDurableOffset(e.lockRecord(ctx, id, mode))
}

// withDurableOffset makes the offset of a locked upload durable, or releases the upload.
func withDurableOffset(u *lockedUpload, err error) (*lockedUpload, error) {
	if err != nil {
		return nil, err
	}
	durable := false
	defer func() {
		if !durable {
			u.release()
		}
	}()
	if err := u.makeDurable(); err != nil {
		return nil, err
	}
	durable = true
	return u, nil
}

// acquireRecord is acquire, except that the offset may not be durable.
func (e *engine) acquireRecord(op *operation, id string) (*lockedUpload, error) {
	if err := e.authorize(op, id); err != nil {
		return nil, err
	}
	if e.finishing.Locked(id) {
		return nil, ErrUploadFinishing
	}
	if e.config.Callbacks.PreFinish != nil && e.store.Locker.Scope() != ScopeProcess {
		u, err := e.lockRecord(op.ctx, id, LockTry)
		if !errors.Is(err, ErrUploadLocked) {
			return u, err
		}
		if e.isFullElsewhere(op.ctx, id) { // another process waits for the callback, perhaps for minutes
			return nil, ErrUploadFinishing
		}
	}
	return e.lockRecord(op.ctx, id, LockPreempt)
}

// isFullElsewhere reports whether an upload that another process has locked only has to be
// finished. It is not inlined, so that its copy of the record is not on the stack below a whole
// request.
//
//go:noinline
func (e *engine) isFullElsewhere(ctx context.Context, id string) bool {
	_, info, err := e.peek(ctx, id)
	return err == nil && e.needsFinish(&info)
}

// lockRecord is lockAndLoad, except that the offset may not be durable.
func (e *engine) lockRecord(ctx context.Context, id string, mode LockMode) (*lockedUpload, error) {
	return e.lockRecordWithin(ctx, id, mode, e.config.AcquireLockTimeout)
}

// lockRecordWithin is lockRecord with another limit for the wait.
func (e *engine) lockRecordWithin(ctx context.Context, id string, mode LockMode, wait time.Duration) (*lockedUpload, error) {
	u, err := e.lockWithin(ctx, id, mode, wait)
	if err != nil {
		return nil, err
	}
	loaded := false
	defer func() {
		if !loaded {
			u.release()
		}
	}()
	if err := u.load(e.store.Core); err != nil {
		return nil, err
	}
	loaded = true
	return u, nil
}

// lock takes the lease on an id and loads nothing.
func (e *engine) lock(ctx context.Context, id string, mode LockMode) (*lockedUpload, error) {
	return e.lockWithin(ctx, id, mode, e.config.AcquireLockTimeout)
}

// lockWithin is lock with another limit for the wait.
func (e *engine) lockWithin(ctx context.Context, id string, mode LockMode, wait time.Duration) (*lockedUpload, error) {
	lease, err := e.acquireLease(ctx, id, mode, wait)
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return nil, ErrUnexpectedEOF.With(err) // the client has disconnected, or the server shuts down
	}
	if err != nil {
		return nil, err
	}
	u := &lockedUpload{id: id, lease: lease, times: &e.metrics.store}
	u.work = contexts.Graceful{Lazy: contexts.Lazy{Parent: lease.Context()}, Client: ctx, Grace: e.config.GracePeriod}
	u.ctx = &u.work
	if e.store.Locker.Scope() == ScopeLease {
		u.unlocks = &e.unlocks
	}
	return u, nil
}

// acquireLease waits for a lock at most for limit. An error that is no answer of the table
// becomes ErrLockServiceUnavailable, unless ctx has ended.
func (e *engine) acquireLease(ctx context.Context, id string, mode LockMode, limit time.Duration) (Lease, error) {
	lease, err := e.lockLease(ctx, id, mode, limit)
	if err != nil && ctx.Err() == nil {
		return nil, e.lockError(err)
	}
	return lease, err
}

// lockError translates an error of the locker. It logs one that the locker has not logged
// itself, once per faultInterval.
func (e *engine) lockError(err error) error {
	var own *Error
	if errors.As(err, &own) {
		return err
	}
	if e.faults.mayLog(ErrLockServiceUnavailable.Code, time.Now()) {
		e.log.Error("uploads cannot be locked", "err", err)
	}
	return ErrLockServiceUnavailable.With(err)
}

// lockLease waits for a lock at most for limit. A local lock is tried first: if it is
// free, that saves a timer.
func (e *engine) lockLease(ctx context.Context, id string, mode LockMode, limit time.Duration) (Lease, error) {
	defer e.metrics.LockWait.since(time.Now())
	if e.store.Locker.Scope() != ScopeLease {
		lease, err := e.store.Locker.Lock(ctx, id, LockTry)
		if mode == LockTry || !errors.Is(err, ErrUploadLocked) {
			return lease, err
		}
	}
	wait, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return e.store.Locker.Lock(wait, id, mode)
}

// load reads the upload under the lease. The offset may not be durable.
func (u *lockedUpload) load(store DataStore) error {
	defer u.times.load.since(time.Now())
	upload, err := store.GetUpload(u.ctx, u.lease, u.id)
	if err != nil {
		return err
	}
	u.upload = upload
	return u.readInfo(u.ctx)
}

// makeDurable makes the loaded offset durable: a client may see it.
func (u *lockedUpload) makeDurable() error {
	defer u.times.makeDurable.since(time.Now())
	return u.upload.MakeDurable(u.ctx)
}

// refresh reads info from the upload again. Its offset is durable.
func (u *lockedUpload) refresh(ctx context.Context) error {
	if err := u.upload.MakeDurable(ctx); err != nil {
		return err
	}
	return u.readInfo(ctx)
}

// readInfo reads info from the upload. It is not inlined, so that its copy of the record
// is not on the stack below a whole request.
//
//go:noinline
func (u *lockedUpload) readInfo(ctx context.Context) error {
	info, err := u.upload.GetInfo(ctx)
	if err == nil {
		u.info = info
	}
	return err
}

// update changes the record.
func (u *lockedUpload) update(ctx context.Context, change func(*FileInfo) error) error {
	defer u.times.update.since(time.Now())
	return u.upload.UpdateInfo(ctx, change)
}

// finish tells the store that the upload is full.
func (u *lockedUpload) finish(ctx context.Context) error {
	defer u.times.finish.since(time.Now())
	return u.upload.FinishUpload(ctx)
}

// release releases the lease, in bounded time, unless the upload was handed over. A second
// call does nothing. If the lock service is unreachable, the lease expires. One goroutine
// calls it.
func (u *lockedUpload) release() {
	if !u.handedOver {
		u.unlock()
	}
}

// unlock is release for the goroutine that has the upload.
func (u *lockedUpload) unlock() {
	if u.unlocks != nil {
		u.releaseBeside()
		return
	}
	u.lease.Unlock(u.lease.Context()) // an error means only that other requests have to wait
	u.work.Cancel()
}

// releaseBeside begins to release the lease and returns: the answer does not wait until
// the lock service has answered.
func (u *lockedUpload) releaseBeside() {
	if u.released {
		return
	}
	u.released = true
	u.work.Cancel()
	lease := u.lease
	unlock := func() { lease.Unlock(lease.Context()) }
	if !u.unlocks.Start(unlock) { // the handler has been shut down
		unlock()
	}
}

// removeFromStore removes the upload from the store, which has a Terminater.
func (e *engine) removeFromStore(u *lockedUpload) error {
	defer u.times.terminate.since(time.Now())
	if e.removing.TryLock(u.id) {
		defer e.removing.Unlock(u.id)
	}
	return e.store.Terminater.Terminate(u.ctx, u.lease, u.id)
}

// setState writes a state to the record.
func (u *lockedUpload) setState(ctx context.Context, state State, failure *Failure) error {
	return u.update(ctx, func(info *FileInfo) error {
		info.State, info.Failure = state, failure
		return nil
	})
}

// announceLength records the length that the client announces.
func (u *lockedUpload) announceLength(length int64) error {
	return u.update(u.ctx, func(info *FileInfo) error {
		info.KnownLength = &length
		return nil
	})
}

// withLength returns the record as it will be with that length; -1: the length is not
// known.
func (u *lockedUpload) withLength(length int64) *FileInfo {
	if length < 0 {
		return &u.info
	}
	info := u.info
	info.KnownLength = &length
	return &info
}

// declareLength declares the length of an upload to the store; -1 reverts that.
func (e *engine) declareLength(u *lockedUpload, length int64) error {
	if e.store.LengthDeferrer == nil {
		return ErrNotImplemented
	}
	defer u.times.declare.since(time.Now())
	return e.store.LengthDeferrer.DeclareLength(u.ctx, u.upload, length)
}
