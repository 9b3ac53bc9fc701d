package limitedstore_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/storetest"
)

// audited is a Memory that adds up by itself what its uploads reserve, as a store sees it, and
// reports each moment at which that is more than the limit.
type audited struct {
	*storetest.Memory
	tb    testing.TB
	limit int64

	mu       sync.Mutex
	uploads  map[string]int64
	sum, max int64
	complete int // complete uploads that were removed
}

func newAudited(tb testing.TB, limit int64) *audited {
	return &audited{Memory: storetest.NewMemory(), tb: tb, limit: limit, uploads: make(map[string]int64)}
}

// set sets what an upload reserves, if that is more than before or force is set.
func (s *audited) set(id string, n int64, force bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if before := s.uploads[id]; n > before || force {
		s.uploads[id] = n
		s.sum += n - before
	}
	s.max = max(s.max, s.sum)
	if s.sum > s.limit {
		s.tb.Errorf("%d bytes are reserved, the limit is %d", s.sum, s.limit)
	}
}

func (s *audited) NewUpload(ctx context.Context, lease tusd.Lease, info tusd.FileInfo) (tusd.Upload, error) {
	s.set(info.ID, announced(&info), false)
	return s.wrap(info.ID)(s.Memory.NewUpload(ctx, lease, info))
}

func (s *audited) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	return s.wrap(id)(s.Memory.GetUpload(ctx, lease, id))
}

func (s *audited) wrap(id string) func(tusd.Upload, error) (tusd.Upload, error) {
	return func(u tusd.Upload, err error) (tusd.Upload, error) {
		if err != nil {
			return nil, err
		}
		return &auditedUpload{u, s, id}, nil
	}
}

func (s *audited) Terminate(ctx context.Context, lease tusd.Lease, id string) error {
	u, err := s.Memory.GetUpload(ctx, lease, id)
	if err != nil {
		return err
	}
	info, err := u.GetInfo(ctx)
	if err == nil {
		err = s.Memory.Terminate(ctx, lease, id)
	}
	if err == nil {
		if info.Complete() {
			s.mu.Lock()
			s.complete++
			s.mu.Unlock()
		}
		s.set(id, 0, true)
	} else if !errors.Is(err, tusd.ErrNotFound) {
		s.tb.Error(err)
	}
	return err
}

func (s *audited) DeclareLength(ctx context.Context, u tusd.Upload, length int64) error {
	of := u.(*auditedUpload)
	s.set(of.id, length, false)
	return s.Memory.DeclareLength(ctx, of.Upload, length)
}

type auditedUpload struct {
	tusd.Upload
	store *audited
	id    string
}

func (u *auditedUpload) WriteChunk(ctx context.Context, offset int64, src io.Reader) (int64, error) {
	return u.Upload.WriteChunk(ctx, offset, &auditedSource{src, u, offset})
}

type auditedSource struct {
	io.Reader
	upload *auditedUpload
	end    int64
}

func (s *auditedSource) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.end += int64(n)
	s.upload.store.set(s.upload.id, s.end, false)
	return n, err
}

// announced returns the length that an upload has or will have, as far as it is known.
func announced(info *tusd.FileInfo) int64 {
	if info.SizeIsDeferred && info.KnownLength != nil {
		return *info.KnownLength
	}
	return info.Size
}

func (u *auditedUpload) UpdateInfo(ctx context.Context, update func(*tusd.FileInfo) error) error {
	return u.Upload.UpdateInfo(ctx, func(info *tusd.FileInfo) error {
		err := update(info)
		switch {
		case err != nil:
		case info.State == tusd.StateFailed: // it counts for what is stored
			u.store.set(u.id, info.Offset, true)
		default:
			u.store.set(u.id, announced(info), false)
		}
		return err
	})
}

func (s *audited) Concat(ctx context.Context, final tusd.Upload, partials []tusd.Upload) error {
	inner, n := make([]tusd.Upload, len(partials)), int64(0)
	for i, p := range partials {
		of := p.(*auditedUpload)
		info, err := of.GetInfo(ctx)
		if err != nil {
			return err
		}
		inner[i], n = of.Upload, n+info.Size
	}
	of := final.(*auditedUpload)
	s.set(of.id, n, false)
	return s.Memory.Concat(ctx, of.Upload, inner)
}
