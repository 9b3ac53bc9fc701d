package s3store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"github.com/tus/tusd"
)

// upload is an upload as it was loaded.
type upload struct {
	b     *bucket
	id    string
	lease tusd.Lease // nil: for reading
	once  bool       // it does not take the place of others in the cache

	writer  string // the Writer of the records that this request stores
	claimed bool   // st was from the cache, and only the client says that it was current

	mu    sync.Mutex // GetInfo may be called concurrently with the others
	st    state
	stale bool // a failed call may have been executed: st must be loaded again
}

func (b *bucket) newUpload(id string, lease tusd.Lease) *upload {
	u := &upload{b: b, id: id, lease: lease}
	if lease != nil {
		u.writer = rand.Text()
	}
	return u
}

// GetUpload implements tusd.DataStore.
func (s *Store) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	b, err := s.bucket()
	if err != nil {
		return nil, err
	}
	if err := tusd.ValidateID(id); err != nil {
		return nil, err
	}
	st, claimed, err := b.findState(ctx, lease, id)
	if lease == nil && errors.Is(err, errRemoving) {
		err = tusd.ErrNotFound.With(errRemoving) // for a reader that is normal
	}
	if err != nil {
		return nil, wrapError("load upload", id, err)
	}
	u := b.newUpload(id, lease)
	u.once, u.st, u.claimed = tusd.LoadedOnce(ctx), st, claimed
	if lease != nil {
		u.cacheState(st)
		if err := u.resumeFinish(ctx); err != nil {
			return nil, wrapError("finish upload", id, err)
		}
	}
	return u, nil
}

// resumeFinish finishes a full upload whose server was killed before it finished it.
func (u *upload) resumeFinish(ctx context.Context) error {
	if st := u.current(); st.hasObject || !st.info.Full() || st.info.State == tusd.StateFailed {
		return nil
	}
	return u.finish(ctx)
}

// asUpload returns an upload of this package.
func asUpload(up tusd.Upload) (*upload, error) {
	u, ok := up.(*upload)
	if !ok {
		return nil, fmt.Errorf("s3store: an upload of another store (%T)", up)
	}
	return u, nil
}

// GetInfo implements tusd.Upload.
func (u *upload) GetInfo(ctx context.Context) (tusd.FileInfo, error) {
	st := u.current()
	if ctx.Err() != nil {
		return tusd.FileInfo{}, wrapError("look at upload", u.id, context.Cause(ctx))
	}
	return st.info, nil
}

// MakeDurable implements tusd.Upload. The offset is that of objects, which are durable.
func (u *upload) MakeDurable(ctx context.Context) error {
	if ctx.Err() != nil {
		return wrapError("look at upload", u.id, context.Cause(ctx))
	}
	return nil
}

// current returns the state as it is now.
func (u *upload) current() state {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.st
}

// setState replaces the state, also in the cache.
func (u *upload) setState(st state) {
	st.info.Offset = st.offset()
	u.mu.Lock()
	u.st = st
	u.mu.Unlock()
	u.cacheState(st)
}

// cacheState stores the state in the cache.
func (u *upload) cacheState(st state) {
	if u.once {
		if _, ok := u.b.cache.get(u.id); !ok {
			return
		}
	}
	u.b.cache.set(u.id, u.lease, st)
}

// invalidate declares the state stale, after a call that failed.
func (u *upload) invalidate() {
	u.mu.Lock()
	u.stale = true
	u.mu.Unlock()
	u.b.cache.invalidate(u.id)
}

// freshState returns the state for a change. It loads it again if it is stale. A record of
// another request shows that the lock is lost: then it returns an error.
func (u *upload) freshState(ctx context.Context) (state, error) {
	if err := u.checkLease(ctx); err != nil {
		return state{}, err
	}
	if !u.isStale() {
		return u.current(), nil
	}
	st, err := u.b.load(ctx, u.id)
	if err != nil {
		return state{}, err
	}
	if known := u.current(); !sameETag(st.etag, known.etag) && st.layout.Writer != u.writer {
		return state{}, u.b.concurrentChange(u.id, errors.New("another request has stored the record"))
	}
	u.setState(st)
	u.mu.Lock()
	u.stale = false
	u.mu.Unlock()
	return st, nil
}

func (u *upload) isStale() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.stale
}

// checkLease returns an error if the lease does not allow a change.
func (u *upload) checkLease(ctx context.Context) error { return tusd.CheckLease(ctx, u.lease) }

// leaseKey is the key of the context of a lease, in contexts of underLease.
type leaseKey struct{}

// underLease returns a context that ends with ctx and with the lease. The
// caller calls stop. Calls of the service with this context ask the lease itself, too: in a
// process that was paused, a call may be earlier than the timer that ends the context.
func (u *upload) underLease(ctx context.Context) (leased context.Context, stop func()) {
	lease := u.lease.Context()
	leased, cancel := context.WithCancelCause(context.WithValue(ctx, leaseKey{}, lease))
	detach := context.AfterFunc(lease, func() { cancel(context.Cause(lease)) })
	return leased, func() {
		detach()
		cancel(nil)
	}
}

// storeRecord stores the record of a state, and makes it the state of the
// upload. Calls do not overlap.
func (u *upload) storeRecord(ctx context.Context, st state) error {
	leased, stop := u.underLease(ctx)
	defer stop()
	st.layout.Writer, st.ours = u.writer, true
	err := u.b.putRecord(leased, &st)
	if err == nil {
		u.setState(st)
		return nil
	}
	u.invalidate()
	if isRefusedCondition(err) {
		return u.b.concurrentChange(u.id, err)
	}
	return err
}

// UpdateInfo implements tusd.Upload.
func (u *upload) UpdateInfo(ctx context.Context, change func(*tusd.FileInfo) error) error {
	st, err := u.freshState(ctx)
	if err != nil {
		return wrapError("update upload", u.id, err)
	}
	now := st.info
	next := now.Clone()
	if err := change(&next); err != nil {
		return err
	}
	next.ID, next.Offset, next.Storage = now.ID, now.Offset, now.Storage
	next.Size, next.SizeIsDeferred, next.Changed = now.Size, now.SizeIsDeferred, now.Changed
	st.info = next
	return wrapError("update upload", u.id, u.storeRecord(ctx, st))
}
