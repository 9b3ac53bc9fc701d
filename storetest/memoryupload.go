package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/tus/tusd"
)

// chunkBuffer is the size of one Read of a chunk. An interrupted write has stored the
// bytes of each Read.
const chunkBuffer = 32 << 10

// memoryUpload is an upload that was loaded from a Memory.
type memoryUpload struct {
	store *Memory
	lease tusd.Lease // nil: for reading
	id    string

	mu   sync.Mutex
	info tusd.FileInfo // of the last load or change, with Offset
}

var _ tusd.Upload = (*memoryUpload)(nil)

// reload loads the stored record and offset.
func (u *memoryUpload) reload() error {
	info, _, err := u.store.load(u.id)
	if err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.info = info
	return nil
}

// GetInfo implements tusd.Upload.
func (u *memoryUpload) GetInfo(ctx context.Context) (tusd.FileInfo, error) {
	if err := context.Cause(ctx); err != nil {
		return tusd.FileInfo{}, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return copyInfo(u.info)
}

// MakeDurable implements tusd.Upload. Memory is as durable as a Memory is.
func (u *memoryUpload) MakeDurable(ctx context.Context) error { return context.Cause(ctx) }

// copyInfo returns a copy that shares no map or slice with info.
func copyInfo(info tusd.FileInfo) (copied tusd.FileInfo, err error) {
	record, err := json.Marshal(info)
	if err == nil {
		err = json.Unmarshal(record, &copied)
	}
	copied.Changed = info.Changed
	return copied, err
}

// UpdateInfo implements tusd.Upload.
func (u *memoryUpload) UpdateInfo(ctx context.Context, change func(*tusd.FileInfo) error) error {
	if err := tusd.CheckLease(ctx, u.lease); err != nil {
		return err
	}
	info, _, err := u.store.load(u.id)
	if err != nil {
		return err
	}
	if err := change(&info); err != nil {
		return err
	}
	return u.storeInfo(info, false)
}

// storeInfo replaces the record, without the fields that the store owns. Size and
// SizeIsDeferred are replaced only if length is set.
func (u *memoryUpload) storeInfo(info tusd.FileInfo, length bool) error {
	err := u.store.change(u.id, func(e *memoryEntry) error {
		var stored tusd.FileInfo
		if err := json.Unmarshal(e.record, &stored); err != nil {
			return err
		}
		info.ID, info.Offset, info.Storage = stored.ID, stored.Offset, stored.Storage
		if !length {
			info.Size, info.SizeIsDeferred = stored.Size, stored.SizeIsDeferred
		}
		record, err := json.Marshal(info)
		if err != nil {
			return fmt.Errorf("storetest: encode the record of %s: %w", u.id, err)
		}
		e.record = record
		return nil
	})
	if err != nil {
		return err
	}
	return u.reload()
}

// WriteChunk implements tusd.Upload.
func (u *memoryUpload) WriteChunk(ctx context.Context, offset int64, src io.Reader) (n int64, err error) {
	if err := u.checkWrite(ctx, offset); err != nil {
		return 0, err
	}
	buf := make([]byte, chunkBuffer)
	for err == nil {
		var got int
		got, err = src.Read(buf)
		if failed := u.grow(ctx, buf[:got]); failed != nil {
			return n, failed
		}
		n += int64(got)
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// checkWrite checks the guarantees of a write's caller.
func (u *memoryUpload) checkWrite(ctx context.Context, offset int64) error {
	if err := tusd.CheckLease(ctx, u.lease); err != nil {
		return err
	}
	if err := u.reload(); err != nil {
		return err
	}
	if u.info.Offset != offset {
		return tusd.ErrMismatchedOffset.With(fmt.Errorf("write at %d, stored are %d bytes", offset, u.info.Offset))
	}
	return nil
}

// grow stores p behind the upload's data.
func (u *memoryUpload) grow(ctx context.Context, p []byte) error {
	if err := tusd.CheckLease(ctx, u.lease); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.info.SizeIsDeferred && int64(len(p)) > u.info.Size-u.info.Offset {
		return tusd.ErrUploadSizeExceeded
	}
	var synthetic string
	if u.store.Synthetic {
		synthetic = u.id
	}
	err := u.store.change(u.id, func(e *memoryEntry) (err error) {
		e.data, err = e.data.grow(p, synthetic)
		return err
	})
	if err == nil {
		u.info.Offset += int64(len(p))
		u.info.Changed = time.Now()
	}
	return err
}

// GetReader implements tusd.Upload.
func (u *memoryUpload) GetReader(ctx context.Context) (io.ReadCloser, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	_, e, err := u.store.load(u.id)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(e.data.reader()), nil
}

// FinishUpload implements tusd.Upload. A full upload is complete without further work.
func (u *memoryUpload) FinishUpload(ctx context.Context) error {
	if err := tusd.CheckLease(ctx, u.lease); err != nil {
		return err
	}
	info, _, err := u.store.load(u.id)
	if err == nil && !info.Full() {
		err = tusd.ErrIncompleteUpload
	}
	return err
}
