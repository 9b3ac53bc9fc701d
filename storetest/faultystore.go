package storetest

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/tus/tusd"
)

// faultyStore is a store with faults.
type faultyStore struct {
	faults *Faults
	core   tusd.DataStore
}

func (s faultyStore) Open(ctx context.Context, env tusd.Env) error {
	return s.faults.operation(ctx, func() error { return s.core.Open(ctx, env) })
}

func (s faultyStore) NewUpload(ctx context.Context, lease tusd.Lease, info tusd.FileInfo) (tusd.Upload, error) {
	return s.load(ctx, func() (tusd.Upload, error) { return s.core.NewUpload(ctx, lease, info) })
}

func (s faultyStore) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	return s.load(ctx, func() (tusd.Upload, error) { return s.core.GetUpload(ctx, lease, id) })
}

// load wraps the upload that a call returns.
func (s faultyStore) load(ctx context.Context, call func() (tusd.Upload, error)) (tusd.Upload, error) {
	upload, err := answer(ctx, s.faults, call)
	if err != nil {
		return nil, err
	}
	return &faultyUpload{s.faults, upload}, nil
}

// faultyUpload is an upload with faults.
type faultyUpload struct {
	faults *Faults
	upload tusd.Upload
}

// unwrap returns the upload of the wrapped store.
func unwrap(upload tusd.Upload) tusd.Upload {
	if u, ok := upload.(*faultyUpload); ok {
		return u.upload
	}
	return upload
}

func (u *faultyUpload) GetInfo(ctx context.Context) (tusd.FileInfo, error) {
	return answer(ctx, u.faults, func() (tusd.FileInfo, error) { return u.upload.GetInfo(ctx) })
}

func (u *faultyUpload) MakeDurable(ctx context.Context) error {
	return u.faults.operation(ctx, func() error { return u.upload.MakeDurable(ctx) })
}

func (u *faultyUpload) UpdateInfo(ctx context.Context, change func(*tusd.FileInfo) error) error {
	return u.faults.operation(ctx, func() error { return u.upload.UpdateInfo(ctx, change) })
}

func (u *faultyUpload) WriteChunk(ctx context.Context, offset int64, src io.Reader) (int64, error) {
	return u.faults.write(ctx, src, func(src io.Reader) (int64, error) {
		return u.upload.WriteChunk(ctx, offset, src)
	})
}

func (u *faultyUpload) GetReader(ctx context.Context) (r io.ReadCloser, err error) {
	err = u.faults.operation(ctx, func() error {
		r, err = u.upload.GetReader(ctx)
		return err
	})
	if err != nil && r != nil { // the answer is lost
		return nil, errors.Join(err, r.Close())
	}
	return r, err
}

func (u *faultyUpload) FinishUpload(ctx context.Context) error {
	return u.faults.operation(ctx, func() error { return u.upload.FinishUpload(ctx) })
}

type faultyTerminater struct {
	faults *Faults
	to     tusd.Terminater
}

func (s faultyTerminater) Terminate(ctx context.Context, lease tusd.Lease, id string) error {
	return s.faults.operation(ctx, func() error { return s.to.Terminate(ctx, lease, id) })
}

type faultyConcater struct {
	faults *Faults
	to     tusd.Concater
}

func (s faultyConcater) Concat(ctx context.Context, final tusd.Upload, partials []tusd.Upload) error {
	return s.faults.operation(ctx, func() error {
		parts := make([]tusd.Upload, len(partials))
		for i, p := range partials {
			parts[i] = unwrap(p)
		}
		return s.to.Concat(ctx, unwrap(final), parts)
	})
}

type faultyLengthDeferrer struct {
	faults *Faults
	to     tusd.LengthDeferrer
}

func (s faultyLengthDeferrer) DeclareLength(ctx context.Context, upload tusd.Upload, length int64) error {
	return s.faults.operation(ctx, func() error { return s.to.DeclareLength(ctx, unwrap(upload), length) })
}

type faultyContentServer struct {
	faults *Faults
	to     tusd.ContentServer
}

func (s faultyContentServer) ServeContent(ctx context.Context, upload tusd.Upload, w http.ResponseWriter, r *http.Request) error {
	serve := func() error { return s.to.ServeContent(ctx, unwrap(upload), w, r) }
	if s.faults.Form != Lost {
		return s.faults.operation(ctx, serve)
	}
	if s.faults.isDue() {
		return ErrInjected
	}
	return serve()
}

type faultyLister struct {
	faults *Faults
	to     tusd.Lister
}

func (s faultyLister) List(ctx context.Context, cursor string, filter tusd.ListFilter, limit int) ([]tusd.Listed, string, error) {
	l, err := answer(ctx, s.faults, func() (l listing[tusd.Listed], err error) {
		l.found, l.next, err = s.to.List(ctx, cursor, filter, limit)
		return l, err
	})
	return l.found, l.next, err
}

type faultyTidier struct {
	faults *Faults
	to     tusd.Tidier
}

func (s faultyTidier) Tidy(ctx context.Context, t tusd.Tidying) error {
	return s.faults.operation(ctx, func() error { return s.to.Tidy(ctx, t) })
}

type faultyVerifier struct {
	faults *Faults
	to     tusd.Verifier
}

func (s faultyVerifier) Verify(ctx context.Context, id string) ([]string, error) {
	return answer(ctx, s.faults, func() ([]string, error) { return s.to.Verify(ctx, id) })
}

// listing is the result of List and ListSideRecords.
type listing[T any] struct {
	found []T
	next  string
}

type faultySideRecords struct {
	faults *Faults
	to     tusd.SideRecords
}

func (s faultySideRecords) CreateSideRecord(ctx context.Context, key tusd.SideRecordKey, value []byte) ([]byte, bool, error) {
	type creation struct {
		current []byte
		created bool
	}
	c, err := answer(ctx, s.faults, func() (c creation, err error) {
		c.current, c.created, err = s.to.CreateSideRecord(ctx, key, value)
		return c, err
	})
	return c.current, c.created, err
}

func (s faultySideRecords) PutSideRecord(ctx context.Context, key tusd.SideRecordKey, value []byte) error {
	return s.faults.operation(ctx, func() error { return s.to.PutSideRecord(ctx, key, value) })
}

func (s faultySideRecords) GetSideRecord(ctx context.Context, key tusd.SideRecordKey) ([]byte, error) {
	return answer(ctx, s.faults, func() ([]byte, error) { return s.to.GetSideRecord(ctx, key) })
}

func (s faultySideRecords) ListSideRecords(ctx context.Context, kind, cursor string, limit int) ([]string, string, error) {
	l, err := answer(ctx, s.faults, func() (l listing[string], err error) {
		l.found, l.next, err = s.to.ListSideRecords(ctx, kind, cursor, limit)
		return l, err
	})
	return l.found, l.next, err
}

func (s faultySideRecords) DeleteSideRecord(ctx context.Context, key tusd.SideRecordKey) error {
	return s.faults.operation(ctx, func() error { return s.to.DeleteSideRecord(ctx, key) })
}

type faultyAtomicWriter struct {
	faults *Faults
	to     tusd.AtomicWriter
}

func (s faultyAtomicWriter) WriteAtomic(ctx context.Context, upload tusd.Upload, offset int64, src io.Reader) (int64, error) {
	return s.faults.write(ctx, src, func(src io.Reader) (int64, error) {
		return s.to.WriteAtomic(ctx, unwrap(upload), offset, src)
	})
}

type faultyRewinder struct {
	faults *Faults
	to     tusd.Rewinder
}

func (s faultyRewinder) ReadsIncomplete() bool { return s.to.ReadsIncomplete() }

func (s faultyRewinder) Rewind(ctx context.Context, upload tusd.Upload, offset int64) error {
	return s.faults.operation(ctx, func() error { return s.to.Rewind(ctx, unwrap(upload), offset) })
}
