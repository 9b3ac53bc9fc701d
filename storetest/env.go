package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/tus/tusd"
)

// env is the environment of a case: an opened store, the leases that the case
// holds, and helpers for calls that must succeed.
type env struct {
	testing.TB
	harness  Harness
	composer *tusd.StoreComposer
	store    tusd.DataStore
	locker   tusd.Locker

	leases map[string]*losableLease // held now, by id
	locked map[string]bool          // ids that were ever locked
	exist  map[string]bool          // uploads that the case has created and not removed
	unread map[string]bool          // incomplete uploads whose bytes are compared at the end
	before usage                    // after Open
}

// newEnv opens a new store.
func newEnv(tb testing.TB, h Harness) *env {
	tb.Helper()
	e := &env{
		TB: tb, harness: h,
		leases: make(map[string]*losableLease), locked: make(map[string]bool), exist: make(map[string]bool),
		unread: make(map[string]bool),
	}
	e.open(h.New(tb))
	e.before = steadyUsage()
	return e
}

func (e *env) open(composer *tusd.StoreComposer) {
	e.Helper()
	e.composer, e.store, e.locker = composer, composer.Core, composer.Locker
	if e.locker == nil {
		e.locker = &tusd.LocalLocker{}
	}
	e.must(e.store.Open(e.Context(), tusd.Env{Locker: e.locker}))
}

// reopen releases all leases and restarts the store.
func (e *env) reopen() {
	e.Helper()
	e.release()
	e.open(e.harness.Reopen(e.TB, e.composer))
}

// release releases all leases.
func (e *env) release() {
	e.Helper()
	for id, lease := range e.leases {
		if err := lease.Unlock(context.WithoutCancel(e.Context())); err != nil {
			e.Errorf("unlock %s: %v", id, err)
		}
	}
	clear(e.leases)
}

// waitSettleTime waits until the backend's clock has advanced.
func (e *env) waitSettleTime() { <-time.After(e.harness.SettleTime) }

func (e *env) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatalf("unexpected error: %v", err)
	}
}

// wantError checks that err matches target.
func (e *env) wantError(what string, err, target error) {
	e.Helper()
	if !errors.Is(err, target) {
		e.Errorf("%s: error is %v, want %v", what, err, target)
	}
}

// lease returns the case's lease on id, and locks id if there is none.
func (e *env) lease(id string) *losableLease {
	e.Helper()
	if held := e.leases[id]; held != nil {
		return held
	}
	grant, err := e.locker.Lock(e.Context(), id, tusd.LockTry)
	e.must(err)
	lease := newLosableLease(grant)
	e.leases[id], e.locked[id] = lease, true
	return lease
}

// unlock releases the lease on id.
func (e *env) unlock(id string) {
	e.Helper()
	if held := e.leases[id]; held != nil {
		delete(e.leases, id)
		e.must(held.Unlock(e.Context()))
	}
}

// losableLease is a lease that a case can lose.
type losableLease struct {
	tusd.Lease
	ctx  context.Context
	lose context.CancelCauseFunc
}

func newLosableLease(lease tusd.Lease) *losableLease {
	l := &losableLease{Lease: lease}
	l.ctx, l.lose = context.WithCancelCause(lease.Context())
	return l
}

func (l *losableLease) Context() context.Context { return l.ctx }

func (l *losableLease) Unlock(ctx context.Context) error {
	defer l.lose(nil)
	return l.Lease.Unlock(ctx)
}

// newInfo returns the record of a plain upload.
func newInfo(id string, size int64) tusd.FileInfo {
	return tusd.FileInfo{ID: id, Size: size, Version: tusd.RecordVersion}
}

// create creates an upload of size bytes under the case's lease.
func (e *env) create(id string, size int64) tusd.Upload {
	e.Helper()
	return e.createInfo(newInfo(id, size))
}

func (e *env) createInfo(info tusd.FileInfo) tusd.Upload {
	e.Helper()
	upload, err := e.store.NewUpload(e.Context(), e.lease(info.ID), info)
	if err != nil {
		e.Fatalf("create %s: %v", info.ID, err)
	}
	e.exist[info.ID] = true
	return upload
}

// createDeferred creates an upload of deferred length.
func (e *env) createDeferred(id string) tusd.Upload {
	e.Helper()
	info := newInfo(id, 0)
	info.SizeIsDeferred = true
	return e.createInfo(info)
}

// createFull creates an upload with all its bytes, the Content of its id.
func (e *env) createFull(id string, size int64) tusd.Upload {
	e.Helper()
	upload := e.create(id, size)
	e.write(upload, id, 0, size)
	return upload
}

// createComplete creates a complete upload.
func (e *env) createComplete(id string, size int64) tusd.Upload {
	e.Helper()
	upload := e.createFull(id, size)
	e.must(upload.FinishUpload(e.Context()))
	return upload
}

// load loads an upload for reading and writing, under the case's lease.
func (e *env) load(id string) tusd.Upload {
	e.Helper()
	upload, err := e.store.GetUpload(e.Context(), e.lease(id), id)
	if err != nil {
		e.Fatalf("load %s: %v", id, err)
	}
	return upload
}

// view loads an upload for reading, without a lease.
func (e *env) view(id string) tusd.Upload {
	e.Helper()
	upload, err := e.store.GetUpload(e.Context(), nil, id)
	if err != nil {
		e.Fatalf("load %s for reading: %v", id, err)
	}
	return upload
}

func (e *env) info(upload tusd.Upload) tusd.FileInfo {
	e.Helper()
	info, err := upload.GetInfo(e.Context())
	e.must(err)
	return info
}

// write stores the Content of id from offset up to offset to.
func (e *env) write(upload tusd.Upload, id string, offset, to int64) {
	e.Helper()
	n, err := upload.WriteChunk(e.Context(), offset, ContentReader(id, offset, to))
	if err != nil || n != to-offset {
		e.Fatalf("write bytes %d to %d of %s: stored %d, error %v", offset, to, id, n, err)
	}
}

// wantGone checks that there is no upload id, with and without a lease.
func (e *env) wantGone(id string) {
	e.Helper()
	_, err := e.store.GetUpload(e.Context(), nil, id)
	e.wantError("load "+id+" for reading", err, tusd.ErrNotFound)
	_, err = e.store.GetUpload(e.Context(), e.lease(id), id)
	e.wantError("load "+id, err, tusd.ErrNotFound)
}

// wantStored checks that the upload's offset is n and that its bytes are the first n of
// the Content of its id.
func (e *env) wantStored(id string, n int64) {
	e.Helper()
	e.wantBytes(id, ContentReader(id, 0, n), n)
}

// wantBytes loads an upload and checks its offset and bytes.
func (e *env) wantBytes(id string, want io.Reader, n int64) {
	e.Helper()
	upload := e.view(id)
	if offset := e.info(upload).Offset; offset != n {
		e.Errorf("offset of %s is %d, want %d", id, offset, n)
	}
	if !e.readable(upload) {
		e.unread[id] = true
		return
	}
	got := e.read(upload)
	expected, err := io.ReadAll(want)
	e.must(err)
	if !bytes.Equal(got, expected) {
		e.Errorf("%s has %d bytes, want %d; the first difference is at %d", id, len(got), len(expected), difference(got, expected))
	}
}

// read returns all stored bytes.
func (e *env) read(upload tusd.Upload) []byte {
	e.Helper()
	r, err := upload.GetReader(e.Context())
	e.must(err)
	got, err := io.ReadAll(r)
	e.must(err)
	e.must(r.Close())
	return got
}

// difference returns the first index at which a and b differ.
func difference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
