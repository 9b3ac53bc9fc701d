package protocoltest

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"github.com/tus/tusd"
)

// smallStore is a store with space for some bytes.
type smallStore struct {
	tusd.DataStore
	space int64 // in bytes; changed only between requests
}

func (s *smallStore) NewUpload(ctx context.Context, lease tusd.Lease, info tusd.FileInfo) (tusd.Upload, error) {
	upload, err := s.DataStore.NewUpload(ctx, lease, info)
	return smallUpload{upload, s}, err
}

func (s *smallStore) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	upload, err := s.DataStore.GetUpload(ctx, lease, id)
	return smallUpload{upload, s}, err
}

type smallUpload struct {
	tusd.Upload
	store *smallStore
}

func (u smallUpload) WriteChunk(ctx context.Context, offset int64, src io.Reader) (int64, error) {
	n, err := u.Upload.WriteChunk(ctx, offset, io.LimitReader(src, u.store.space))
	u.store.space -= n
	if err == nil && u.store.space == 0 {
		err = tusd.ErrNoSpace
	}
	return n, err
}

// unreadableStore cannot read uploads while failing is set.
type unreadableStore struct {
	tusd.DataStore
	failing *atomic.Bool
	reads   *atomic.Int64 // attempts; nil: they are not counted
	cause   error         // of incomplete uploads; nil: all uploads, for some cause
}

func (s unreadableStore) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	upload, err := s.DataStore.GetUpload(ctx, lease, id)
	return unreadableUpload{upload, s}, err
}

type unreadableUpload struct {
	tusd.Upload
	store unreadableStore
}

func (u unreadableUpload) GetReader(ctx context.Context) (io.ReadCloser, error) {
	if u.store.reads != nil {
		u.store.reads.Add(1)
	}
	switch info, err := u.GetInfo(ctx); {
	case !u.store.failing.Load() || err != nil:
	case u.store.cause == nil:
		return nil, errors.New("the bytes cannot be read")
	case !info.Full():
		return nil, u.store.cause
	}
	return u.Upload.GetReader(ctx)
}

// makeUnreadable makes the store of e one that does not read while failing is set, and
// counts the attempts.
func (e *env) makeUnreadable(cause error) (failing *atomic.Bool, reads *atomic.Int64) {
	failing, reads = new(atomic.Bool), new(atomic.Int64)
	e.config.DisableIETF, e.config.Digest = false, "sha256"
	e.config.StoreComposer.Core = unreadableStore{e.config.StoreComposer.Core, failing, reads, cause}
	e.config.StoreComposer.ContentServer = nil
	return failing, reads
}

// unwrappingDeferrer declares lengths of uploads of an unreadableStore.
type unwrappingDeferrer struct{ tusd.LengthDeferrer }

func (d unwrappingDeferrer) DeclareLength(ctx context.Context, upload tusd.Upload, length int64) error {
	return d.LengthDeferrer.DeclareLength(ctx, readable(upload), length)
}

// unwrappingRewinder rolls back uploads of an unreadableStore.
type unwrappingRewinder struct{ tusd.Rewinder }

func (r unwrappingRewinder) Rewind(ctx context.Context, upload tusd.Upload, offset int64) error {
	return r.Rewinder.Rewind(ctx, readable(upload), offset)
}

// readable is the upload that an unreadableStore wraps.
func readable(upload tusd.Upload) tusd.Upload {
	if u, ok := upload.(unreadableUpload); ok {
		return u.Upload
	}
	return upload
}
