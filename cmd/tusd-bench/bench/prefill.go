package bench

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/tus/tusd"
	"github.com/tus/tusd/cmd/tusd-bench/load"
	"github.com/tus/tusd/filestore"
)

// The offset and the length of a prefilled upload, in bytes.
const (
	prefillOffset = 100
	prefillLength = 200
)

// prefillID returns the id of the i-th prefilled upload. It has the form of the ids
// that the server chooses.
func prefillID(i int) string {
	var id [16]byte
	load.Content(i).Fill(id[:], 0)
	return hex.EncodeToString(id[:])
}

// prefilled returns the i-th prefilled upload of a target.
func prefilled(t *load.Target, i int) load.Upload {
	return t.Existing(prefillID(i), load.Content(i), prefillOffset, prefillLength)
}

// prefill creates a directory with n incomplete uploads, which no server uses. It writes
// them with package filestore.
func prefill(ctx context.Context, dir string, n int) error {
	locker := &tusd.LocalLocker{}
	store := filestore.New(dir)
	store.Durability = filestore.None
	if err := store.Open(ctx, tusd.Env{Locker: locker}); err != nil {
		return err
	}
	workers := runtime.GOMAXPROCS(0)
	errs := make([]error, workers)
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			for i := w; i < n && errs[w] == nil; i += workers {
				errs[w] = prefillOne(ctx, store, locker, i)
			}
		})
	}
	wait.Wait()
	return errors.Join(errors.Join(errs...), store.Close())
}

// prefillOne creates the i-th upload.
func prefillOne(ctx context.Context, store *filestore.FileStore, locker *tusd.LocalLocker, i int) (err error) {
	id := prefillID(i)
	lease, err := locker.Lock(ctx, id, tusd.LockTry)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lease.Unlock(ctx)) }()
	up, err := store.NewUpload(ctx, lease, tusd.FileInfo{
		ID: id, Size: prefillLength, Version: tusd.RecordVersion, Dialect: tusd.DialectTus,
		MetaData: tusd.MetaData{"filename": "holiday.jpg", "filetype": "image/jpeg"}, RawMetaData: load.Metadata,
	})
	if err != nil {
		return err
	}
	n, err := up.WriteChunk(ctx, 0, io.LimitReader(&contentReader{content: load.Content(i)}, prefillOffset))
	if err == nil && n != prefillOffset {
		err = fmt.Errorf("%d bytes stored", n)
	}
	return err
}

// contentReader reads a content from its start, without an end.
type contentReader struct {
	content load.Content
	offset  int64
}

// Read implements io.Reader.
func (r *contentReader) Read(p []byte) (int, error) {
	r.content.Fill(p, r.offset)
	r.offset += int64(len(p))
	return len(p), nil
}
