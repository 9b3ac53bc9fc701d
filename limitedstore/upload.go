package limitedstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/tus/tusd"
)

var errNotOpen = errors.New("limitedstore: the store is not open")

// upload is an upload of the wrapped store.
type upload struct {
	inner   tusd.Upload
	store   *LimitedStore
	lease   tusd.Lease // nil: for reading
	account *account   // nil: for reading
}

var (
	_ tusd.DataStore = (*LimitedStore)(nil)
	_ tusd.Upload    = (*upload)(nil)
)

// unwrap returns the upload of the wrapped store.
func unwrap(u tusd.Upload) tusd.Upload {
	if limited, ok := u.(*upload); ok {
		return limited.inner
	}
	return u
}

// NewUpload implements tusd.DataStore.
func (s *LimitedStore) NewUpload(ctx context.Context, lease tusd.Lease, info tusd.FileInfo) (tusd.Upload, error) {
	if s.holder.Load() == nil {
		return nil, errNotOpen
	}
	if err := tusd.CheckLease(ctx, lease); err != nil {
		return nil, err
	}
	want := amountsOf(&info)
	if err := s.checkPossible(want.reserved, want.owner); err != nil {
		return nil, err
	}
	a, isNew := s.ledger.create(lease, info.ID, want.owner)
	c, err := s.begin(ctx, lease, a)
	if err != nil {
		return nil, err
	}
	before := c.counted()
	if err = c.reserve(want.reserved); err == nil {
		c.called = true
		var inner tusd.Upload
		if inner, err = s.inner.Core.NewUpload(ctx, lease, info); err == nil {
			c.endWith(inner)
			return &upload{inner, s, lease, a}, nil
		}
	}
	c.end(before, c.isUnchanged(err) || errors.Is(err, tusd.ErrNoSpace))
	if isNew && errors.Is(err, tusd.ErrUploadExists) {
		now, loadErr := s.load(ctx, lease, info.ID)
		s.ledger.discover(a, now, loadErr == nil && lease.Context().Err() == nil)
	}
	return nil, err
}

// load returns what an upload counts for.
func (s *LimitedStore) load(ctx context.Context, lease tusd.Lease, id string) (amounts, error) {
	inner, err := s.inner.Core.GetUpload(ctx, lease, id)
	if err != nil {
		return amounts{}, err
	}
	info, err := inner.GetInfo(ctx)
	return amountsOf(&info), err
}

// GetUpload implements tusd.DataStore.
func (s *LimitedStore) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	inner, err := s.inner.Core.GetUpload(ctx, lease, id)
	if lease == nil {
		if err != nil {
			return nil, err
		}
		return &upload{inner: inner, store: s}, nil
	}
	if err != nil {
		if lease.Context().Err() == nil {
			s.ledger.notLoaded(id, err)
		}
		return nil, err
	}
	info, err := inner.GetInfo(ctx)
	if err != nil {
		return nil, err
	}
	return &upload{inner, s, lease, s.ledger.load(lease, id, amountsOf(&info))}, nil
}

// GetInfo implements tusd.Upload.
func (u *upload) GetInfo(ctx context.Context) (tusd.FileInfo, error) { return u.inner.GetInfo(ctx) }

// MakeDurable implements tusd.Upload.
func (u *upload) MakeDurable(ctx context.Context) error { return u.inner.MakeDurable(ctx) }

// GetReader implements tusd.Upload.
func (u *upload) GetReader(ctx context.Context) (io.ReadCloser, error) { return u.inner.GetReader(ctx) }

// FinishUpload implements tusd.Upload. It changes no sum: the upload is full.
func (u *upload) FinishUpload(ctx context.Context) error { return u.inner.FinishUpload(ctx) }

// WriteChunk implements tusd.Upload.
func (u *upload) WriteChunk(ctx context.Context, offset int64, src io.Reader) (int64, error) {
	return u.write(ctx, offset, src, func(src io.Reader) (int64, error) { return u.inner.WriteChunk(ctx, offset, src) })
}

// write lets the wrapped store write src, of which it sees only bytes that are reserved.
func (u *upload) write(ctx context.Context, offset int64, src io.Reader, write func(io.Reader) (int64, error)) (int64, error) {
	if u.lease == nil {
		return write(src)
	}
	c, err := u.store.begin(ctx, u.lease, u.account)
	if err != nil {
		return 0, err
	}
	counted := c.counted()
	limited := &source{change: c, src: src, end: offset, reserved: counted.reserved, limit: u.store.largest(counted.owner)}
	n, err := write(limited)
	if err == nil || limited.caused(err) {
		c.endWith(u.inner)
		return n, err
	}
	c.end(amounts{stored: offset + n}, false)
	return n, err
}

// UpdateInfo implements tusd.Upload.
func (u *upload) UpdateInfo(ctx context.Context, update func(*tusd.FileInfo) error) error {
	return u.change(ctx, func(c *change) error {
		if err := c.declare(u.announced(ctx, update)); err != nil {
			return err
		}
		c.called = true
		return u.inner.UpdateInfo(ctx, func(info *tusd.FileInfo) error {
			err := update(info)
			c.refused = err != nil
			return err
		})
	})
}

// announced returns what the upload will reserve if update announces its length, else 0.
func (u *upload) announced(ctx context.Context, update func(*tusd.FileInfo) error) int64 {
	info, err := u.inner.GetInfo(ctx)
	if err != nil || !info.SizeIsDeferred || info.KnownLength != nil {
		return 0
	}
	info = info.Clone()
	if update(&info) != nil || info.KnownLength == nil {
		return 0
	}
	return amountsOf(&info).reserved
}

// change calls f, which changes the upload, and sets called right before it calls the wrapped store.
func (u *upload) change(ctx context.Context, f func(*change) error) error {
	if u.lease == nil {
		return tusd.ErrNoLease
	}
	c, err := u.store.begin(ctx, u.lease, u.account)
	if err != nil {
		return err
	}
	before := c.counted()
	if err := f(c); err != nil {
		c.end(before, c.isUnchanged(err))
		return err
	}
	c.endWith(u.inner)
	return nil
}

// change is a call that changes an upload.
type change struct {
	ctx     context.Context
	store   *LimitedStore
	account *account
	lease   tusd.Lease
	called  bool // the wrapped store: otherwise nothing can have changed
	refused bool // by the caller: the store changes nothing
}

func (s *LimitedStore) begin(ctx context.Context, lease tusd.Lease, a *account) (*change, error) {
	c := &change{ctx: ctx, store: s, account: a, lease: lease}
	return c, s.ledger.begin(a, c.check)
}

func (c *change) check() error { return tusd.CheckLease(c.ctx, c.lease) }

// counted returns what the upload counts for now.
func (c *change) counted() amounts { return c.store.ledger.current(c.account) }

// endWith ends a change after which inner has the state of the upload.
func (c *change) endWith(inner tusd.Upload) {
	info, err := inner.GetInfo(context.WithoutCancel(c.ctx))
	c.end(amountsOf(&info), err == nil)
}

// end ends a change. known is false if it is not known what the upload counts for.
func (c *change) end(now amounts, known bool) { c.store.ledger.end(c.account, c.lease, now, known) }

// isUnchanged reports whether an error means that the store has changed nothing. ErrNoSpace does
// not: the record may be stored, and what follows it not.
func (c *change) isUnchanged(err error) bool {
	if !c.called || c.refused {
		return true
	}
	for _, target := range []error{tusd.ErrMaxSizeExceeded, tusd.ErrUploadExists, tusd.ErrInvalidName,
		tusd.ErrInvalidUploadLength, tusd.ErrNotImplemented, tusd.ErrNoLease} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

type terminater struct{ s *LimitedStore }

// Terminate implements tusd.Terminater.
func (t terminater) Terminate(ctx context.Context, lease tusd.Lease, id string) error {
	s := t.s
	if err := tusd.CheckLease(ctx, lease); err != nil {
		return err
	}
	a, err := s.accountOf(ctx, lease, id)
	if err != nil {
		return err
	}
	if a == nil { // broken, or gone
		err := s.inner.Terminater.Terminate(ctx, lease, id)
		if err == nil {
			s.ledger.setWrong()
		}
		return err
	}
	c, err := s.begin(ctx, lease, a)
	if err != nil {
		return err
	}
	err = s.inner.Terminater.Terminate(ctx, lease, id)
	c.end(amounts{owner: c.counted().owner}, err == nil || errors.Is(err, tusd.ErrNotFound))
	return err
}

// accountOf returns the account of an upload, which it loads if it has none; nil: it cannot
// be loaded.
func (s *LimitedStore) accountOf(ctx context.Context, lease tusd.Lease, id string) (*account, error) {
	if a := s.ledger.find(lease, id); a != nil {
		return a, nil
	}
	now, err := s.load(ctx, lease, id)
	if errors.Is(err, tusd.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return s.ledger.load(lease, id, now), nil
}

type concater struct{ s *LimitedStore }

// Concat implements tusd.Concater.
func (c concater) Concat(ctx context.Context, final tusd.Upload, partials []tusd.Upload) error {
	inner, n := make([]tusd.Upload, len(partials)), int64(0)
	for i, p := range partials {
		inner[i] = unwrap(p)
		info, err := p.GetInfo(ctx)
		if err != nil {
			return err
		}
		n += info.Size
	}
	return c.s.changeOf(ctx, final, func(change *change) error {
		if err := change.reserve(n); err != nil {
			return err
		}
		change.called = true
		return c.s.inner.Concater.Concat(ctx, unwrap(final), inner)
	})
}

// changeOf is upload.change for a call of an ability.
func (s *LimitedStore) changeOf(ctx context.Context, of tusd.Upload, f func(*change) error) error {
	u, ok := of.(*upload)
	if !ok || u.store != s {
		return fmt.Errorf("limitedstore: an upload of another store: %T", of)
	}
	return u.change(ctx, f)
}

type lengthDeferrer struct{ s *LimitedStore }

// DeclareLength implements tusd.LengthDeferrer.
func (d lengthDeferrer) DeclareLength(ctx context.Context, u tusd.Upload, length int64) error {
	return d.s.changeOf(ctx, u, func(c *change) error {
		if err := c.declare(length); err != nil {
			return err
		}
		c.called = true
		return d.s.inner.LengthDeferrer.DeclareLength(ctx, unwrap(u), length)
	})
}

type contentServer struct{ s *LimitedStore }

// ServeContent implements tusd.ContentServer.
func (c contentServer) ServeContent(ctx context.Context, u tusd.Upload, w http.ResponseWriter, r *http.Request) error {
	return c.s.inner.ContentServer.ServeContent(ctx, unwrap(u), w, r)
}

type atomicWriter struct{ s *LimitedStore }

// WriteAtomic implements tusd.AtomicWriter.
func (w atomicWriter) WriteAtomic(ctx context.Context, of tusd.Upload, offset int64, src io.Reader) (int64, error) {
	write := func(src io.Reader) (int64, error) {
		return w.s.inner.AtomicWriter.WriteAtomic(ctx, unwrap(of), offset, src)
	}
	u, ok := of.(*upload)
	if !ok || u.store != w.s {
		return 0, fmt.Errorf("limitedstore: an upload of another store: %T", of)
	}
	return u.write(ctx, offset, src, write)
}

type rewinder struct{ s *LimitedStore }

// ReadsIncomplete implements tusd.Rewinder.
func (r rewinder) ReadsIncomplete() bool { return r.s.inner.Rewinder.ReadsIncomplete() }

// Rewind implements tusd.Rewinder.
func (r rewinder) Rewind(ctx context.Context, u tusd.Upload, offset int64) error {
	return r.s.changeOf(ctx, u, func(c *change) error {
		c.called = true
		return r.s.inner.Rewinder.Rewind(ctx, unwrap(u), offset)
	})
}
