package s3store

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/keyed"
)

// upload is one upload as loaded.
type upload struct {
	b     *bucket
	id    string
	lease tusd.Lease // nil: for reading

	record keyed.Mutex // locked while the record is stored or compared

	mu        sync.Mutex // GetInfo may be called beside the others
	st        state
	uncertain bool // a call has failed and may have been done: st has to be read again
	guessed   bool // st was kept, and may be old
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
	st, guessed, err := b.find(ctx, lease, id)
	if lease == nil && errors.Is(err, errRemoving) {
		err = tusd.ErrNotFound.With(errRemoving) // to a reader it is gone, and that is no fault
	}
	if err != nil {
		return nil, failed("load upload", id, err)
	}
	u := &upload{b: b, id: id, lease: lease, st: st, guessed: guessed}
	if lease != nil {
		b.kept.set(id, lease, st)
		if err := u.goOnFinishing(ctx); err != nil {
			return nil, failed("finish upload", id, err)
		}
	}
	return u, nil
}

// goOnFinishing finishes an upload that has all its bytes, and whose server
// died before it was finished. Nobody may take it for complete before.
func (u *upload) goOnFinishing(ctx context.Context) error {
	if st := u.current(); st.whole || !st.info.Full() || st.info.State == tusd.StateFailed {
		return nil
	}
	return u.finish(ctx)
}

// ours is an upload of this package.
func ours(up tusd.Upload) (*upload, error) {
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
		return tusd.FileInfo{}, failed("look at upload", u.id, context.Cause(ctx))
	}
	return st.info, nil
}

// current is the state as it is now.
func (u *upload) current() state {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.st
}

// become replaces the state by what is stored now, and keeps it.
func (u *upload) become(st state) {
	st.info.Offset = st.offset()
	u.mu.Lock()
	u.st = st
	u.mu.Unlock()
	u.b.kept.set(u.id, u.lease, st)
}

// doubt forgets what cannot be relied on any more, after a call that failed.
func (u *upload) doubt() {
	u.mu.Lock()
	u.uncertain = true
	u.mu.Unlock()
	u.b.kept.forget(u.id)
}

// begin returns the state that a change starts from.
func (u *upload) begin(ctx context.Context) (state, error) {
	if err := u.usable(ctx); err != nil {
		return state{}, err
	}
	if !u.isUncertain() {
		return u.current(), nil
	}
	st, err := u.b.load(ctx, u.id)
	if err != nil {
		return state{}, err
	}
	u.become(st)
	u.mu.Lock()
	u.uncertain, u.guessed = false, false
	u.mu.Unlock()
	return st, nil
}

func (u *upload) isGuessed() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.guessed
}

// makeSure confirms a state that was only guessed.
func (u *upload) makeSure(ctx context.Context) error {
	if _, err := u.record.Lock(ctx, u.id); err != nil {
		return err
	}
	defer u.record.Unlock(u.id)
	if !u.isGuessed() {
		return nil
	}
	st := u.current()
	same, err := u.b.confirm(ctx, u.id, &st)
	if err != nil {
		return err
	}
	if !same {
		u.doubt()
		return overtaken(errors.New("what was kept of it is old"))
	}
	u.become(st)
	u.sure()
	return nil
}

// sure notes that the state is no guess any more.
func (u *upload) sure() {
	u.mu.Lock()
	u.guessed = false
	u.mu.Unlock()
}

func (u *upload) isUncertain() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.uncertain
}

// usable tells whether the lease allows a change.
func (u *upload) usable(ctx context.Context) error { return tusd.CheckLease(ctx, u.lease) }

// underLease returns a context that ends with ctx and with the lease. The
// caller calls stop.
func (u *upload) underLease(ctx context.Context) (held context.Context, stop func()) {
	held, cancel := context.WithCancelCause(ctx)
	lease := u.lease.Context()
	detach := context.AfterFunc(lease, func() { cancel(context.Cause(lease)) })
	return held, func() {
		detach()
		cancel(nil)
	}
}

// store stores the record of a state and makes it the upload's.
func (u *upload) store(ctx context.Context, st state) error {
	if _, err := u.record.Lock(ctx, u.id); err != nil {
		return err
	}
	defer u.record.Unlock(u.id)
	held, stop := u.underLease(ctx)
	defer stop()
	err := u.b.putRecord(held, &st)
	if err == nil {
		u.become(st)
		u.sure() // the record was as it was known to be
		return nil
	}
	u.doubt()
	if isRefusedCondition(err) {
		return overtaken(err)
	}
	return err
}

// UpdateInfo implements tusd.Upload.
func (u *upload) UpdateInfo(ctx context.Context, change func(*tusd.FileInfo) error) error {
	st, err := u.begin(ctx)
	if err != nil {
		return failed("update upload", u.id, err)
	}
	now := st.info
	next := now.Clone()
	if err := change(&next); err != nil {
		return err
	}
	next.ID, next.Offset, next.Storage = now.ID, now.Offset, now.Storage
	next.Size, next.SizeIsDeferred = now.Size, now.SizeIsDeferred
	st.info = next
	return failed("update upload", u.id, u.store(ctx, st))
}
