package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/tus/tusd"
)

var (
	_ tusd.Terminater     = (*Memory)(nil)
	_ tusd.Concater       = (*Memory)(nil)
	_ tusd.LengthDeferrer = (*Memory)(nil)
	_ tusd.ContentServer  = (*Memory)(nil)
	_ tusd.Lister         = (*Memory)(nil)
	_ tusd.SideRecords    = (*Memory)(nil)
	_ tusd.AtomicWriter   = (*Memory)(nil)
	_ tusd.Rewinder       = (*Memory)(nil)
	_ tusd.Tidier         = (*Memory)(nil)
	_ tusd.Verifier       = (*Memory)(nil)
)

// uploadOf returns the upload if it is of this store.
func (m *Memory) uploadOf(upload tusd.Upload) (*memoryUpload, error) {
	u, ok := upload.(*memoryUpload)
	if !ok || u.store != m {
		return nil, errors.New("storetest: the upload is of another store")
	}
	return u, nil
}

// Concat implements tusd.Concater.
func (m *Memory) Concat(ctx context.Context, final tusd.Upload, partials []tusd.Upload) error {
	f, err := m.uploadOf(final)
	if err != nil {
		return err
	}
	if err := tusd.CheckLease(ctx, f.lease); err != nil {
		return err
	}
	var parts []blob
	for _, partial := range partials {
		p, err := m.uploadOf(partial)
		if err != nil {
			return err
		}
		data, err := p.fullData(ctx)
		if err != nil {
			return fmt.Errorf("storetest: partial upload %s: %w", p.id, err)
		}
		parts = append(parts, data)
	}
	return f.replace(join(parts))
}

// fullData returns the data of a full upload.
func (u *memoryUpload) fullData(ctx context.Context) (blob, error) {
	if err := tusd.CheckLease(ctx, u.lease); err != nil {
		return nil, err
	}
	info, e, err := u.store.load(u.id)
	if err == nil && !info.Full() {
		err = tusd.ErrIncompleteUpload
	}
	return e.data, err
}

// replace sets the bytes of a final upload.
func (u *memoryUpload) replace(data blob) error {
	if data.size() != u.info.Size {
		return fmt.Errorf("storetest: the partial uploads have %d bytes, the final upload %s has %d", data.size(), u.id, u.info.Size)
	}
	err := u.store.change(u.id, func(e *memoryEntry) error {
		e.data = data
		return nil
	})
	if err != nil {
		return err
	}
	return u.reload()
}

// DeclareLength implements tusd.LengthDeferrer.
func (m *Memory) DeclareLength(ctx context.Context, upload tusd.Upload, length int64) error {
	u, err := m.uploadOf(upload)
	if err != nil {
		return err
	}
	if err := tusd.CheckLease(ctx, u.lease); err != nil {
		return err
	}
	info, _, err := m.load(u.id)
	if err != nil {
		return err
	}
	switch {
	case length == -1:
		info.Size, info.SizeIsDeferred = 0, true
	case !info.SizeIsDeferred || length < info.Offset:
		return tusd.ErrInvalidUploadLength
	default:
		info.Size, info.SizeIsDeferred = length, false
	}
	return u.storeInfo(info, true)
}

// ServeContent implements tusd.ContentServer.
func (m *Memory) ServeContent(ctx context.Context, upload tusd.Upload, w http.ResponseWriter, r *http.Request) error {
	u, err := m.uploadOf(upload)
	if err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	_, e, err := m.load(u.id)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", fmt.Sprintf(`"%d-%d"`, e.serial, e.data.size()))
	http.ServeContent(w, r, "", time.Time{}, e.data.reader())
	return nil
}

// WriteAtomic implements tusd.AtomicWriter: it stores the chunk after its source has
// ended without an error.
func (m *Memory) WriteAtomic(ctx context.Context, upload tusd.Upload, offset int64, src io.Reader) (int64, error) {
	u, err := m.uploadOf(upload)
	if err != nil {
		return 0, err
	}
	if err := u.checkWrite(ctx, offset); err != nil {
		return 0, err
	}
	chunk, err := io.ReadAll(src)
	if err != nil {
		return 0, err
	}
	if err := u.grow(ctx, chunk); err != nil {
		return 0, err
	}
	return int64(len(chunk)), nil
}

// ReadsIncomplete implements tusd.Rewinder.
func (m *Memory) ReadsIncomplete() bool { return true }

// Rewind implements tusd.Rewinder.
func (m *Memory) Rewind(ctx context.Context, upload tusd.Upload, offset int64) error {
	u, err := m.uploadOf(upload)
	if err != nil {
		return err
	}
	if err := tusd.CheckLease(ctx, u.lease); err != nil {
		return err
	}
	err = m.change(u.id, func(e *memoryEntry) error {
		e.data = e.data.cut(offset)
		return nil
	})
	if err != nil {
		return err
	}
	return u.reload()
}

// Tidy implements tusd.Tidier. A Memory has no leftovers but broken records, and what tests of
// the suite have left.
func (m *Memory) Tidy(ctx context.Context, t tusd.Tidying) error {
	m.mu.Lock()
	ids := slices.Sorted(maps.Keys(m.uploads))
	left := m.leftovers
	if !t.DryRun {
		m.leftovers = nil
	}
	m.mu.Unlock()
	for _, name := range left {
		t.Report(tusd.Leftover{Kind: tusd.LeftoverTemporary, Name: name, Removed: true})
	}
	for _, id := range ids {
		if err := t.Pace(ctx); err != nil {
			return err
		}
		if _, e, err := m.load(id); errors.Is(err, tusd.ErrBroken) {
			t.Report(tusd.Leftover{Kind: tusd.LeftoverBroken, Name: id, Upload: id, Bytes: e.data.size(), Changed: e.changed, Err: err})
		}
	}
	return context.Cause(ctx)
}

// Verify implements tusd.Verifier.
func (m *Memory) Verify(ctx context.Context, id string) ([]string, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	info, _, err := m.load(id)
	switch {
	case errors.Is(err, tusd.ErrBroken):
		return []string{err.Error()}, nil
	case err != nil:
		return nil, err
	case !info.SizeIsDeferred && info.Offset > info.Size:
		return []string{fmt.Sprintf("%d bytes are stored of an upload of %d", info.Offset, info.Size)}, nil
	}
	return nil, nil
}
