package tusd_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"sync"

	"github.com/tus/tusd"
)

// mapStore is the smallest store: it keeps uploads in memory and has no further ability.
type mapStore struct {
	mu      sync.Mutex
	uploads map[string]*mapEntry
}

type mapEntry struct {
	record tusd.FileInfo
	data   []byte // the length is the offset
}

// mapUpload is an upload as it was loaded. A nil lease is for reading only.
type mapUpload struct {
	store *mapStore
	entry *mapEntry
	lease tusd.Lease
	info  tusd.FileInfo // of the last load or change through this value
}

func (s *mapStore) Open(context.Context, tusd.Env) error { return nil }

func (s *mapStore) NewUpload(ctx context.Context, lease tusd.Lease, info tusd.FileInfo) (tusd.Upload, error) {
	if err := tusd.CheckLease(ctx, lease); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uploads[info.ID] != nil {
		return nil, tusd.ErrUploadExists
	}
	info.Storage = map[string]string{"Type": "map"}
	e := &mapEntry{record: info}
	s.uploads[info.ID] = e
	return &mapUpload{s, e, lease, info}, nil
}

func (s *mapStore) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.uploads[id]
	if e == nil {
		return nil, tusd.ErrNotFound
	}
	u := &mapUpload{s, e, lease, e.record}
	u.info.Offset = int64(len(e.data))
	return u, context.Cause(ctx)
}

func (u *mapUpload) GetInfo(ctx context.Context) (tusd.FileInfo, error) {
	u.store.mu.Lock()
	defer u.store.mu.Unlock()
	return u.info, context.Cause(ctx)
}

func (u *mapUpload) MakeDurable(ctx context.Context) error { return context.Cause(ctx) }

func (u *mapUpload) UpdateInfo(ctx context.Context, change func(*tusd.FileInfo) error) error {
	if err := tusd.CheckLease(ctx, u.lease); err != nil {
		return err
	}
	now, next := u.info, u.info.Clone() // no other call changes it: the caller has the lease
	if err := change(&next); err != nil {
		return err
	}
	next.ID, next.Offset, next.Storage, next.Changed = now.ID, now.Offset, now.Storage, now.Changed // these belong to the store
	next.Size, next.SizeIsDeferred = now.Size, now.SizeIsDeferred
	u.store.mu.Lock()
	defer u.store.mu.Unlock()
	u.info, u.entry.record = next, next
	return nil
}

func (u *mapUpload) WriteChunk(ctx context.Context, _ int64, src io.Reader) (n int64, err error) {
	buf := make([]byte, 32<<10)
	for err == nil {
		var read int
		read, err = src.Read(buf)
		if lost := tusd.CheckLease(ctx, u.lease); lost != nil {
			return n, lost
		}
		u.store.mu.Lock()
		u.entry.data = append(u.entry.data, buf[:read]...)
		u.info.Offset += int64(read)
		u.store.mu.Unlock()
		n += int64(read)
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

func (u *mapUpload) GetReader(ctx context.Context) (io.ReadCloser, error) {
	u.store.mu.Lock()
	defer u.store.mu.Unlock()
	return io.NopCloser(bytes.NewReader(u.entry.data)), context.Cause(ctx) // stored bytes never change
}

func (u *mapUpload) FinishUpload(ctx context.Context) error { return tusd.CheckLease(ctx, u.lease) }

// Write a store: the methods of DataStore and Upload. The package's test runs the contract
// suite on this one:
//
//	func TestMapStore(t *testing.T) { storetest.Run(t, storetest.Harness{New: newMapStore, Reopen: reopenMapStore}) }
func ExampleDataStore() {
	composer := tusd.NewStoreComposer()
	composer.UseCore(&mapStore{uploads: make(map[string]*mapEntry)})
	handler, err := tusd.NewHandler(tusd.Config{StoreComposer: composer})
	if err != nil {
		panic(err)
	}
	defer handler.Shutdown(context.Background())

	r := httptest.NewRequest("POST", "/", strings.NewReader("hello")) // create, with all of the content
	r.Header.Set("Tus-Resumable", "1.0.0")
	r.Header.Set("Upload-Length", "5")
	r.Header.Set("Content-Type", "application/offset+octet-stream")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	fmt.Println(w.Code, "offset", w.Header().Get("Upload-Offset"))
	// Output: 201 offset 5
}
