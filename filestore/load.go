package filestore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

// upload is a loaded upload.
type upload struct {
	v     *volume
	id    string
	data  treePath
	lease tusd.Lease // nil: for reading
	once  bool       // the load leaves the caches as they are
	// modified is the modification time of the data at the load
	modified time.Time

	mu   sync.Mutex    // GetInfo may run concurrently with other methods
	info tusd.FileInfo // Offset is the length of the data file
}

// GetUpload implements tusd.DataStore.
func (s *FileStore) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	v, err := s.volume()
	if err != nil {
		return nil, err
	}
	if err := tusd.ValidateID(id); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, failed("load upload", id, context.Cause(ctx))
	}
	u, err := v.load(lease, id, tusd.LoadedOnce(ctx))
	if err != nil {
		return nil, failed("load upload", id, err)
	}
	return u, nil
}

// load reads the record and finds the data. With a lease it also cuts off the rest
// of a chunk that an undo record names. If once is set, the caches stay as they are: a
// sweep loads many uploads that no request uses, and must not evict those in use.
func (v *volume) load(lease tusd.Lease, id string, once bool) (*upload, error) {
	err := v.checkNoLinks(id)
	if errors.Is(err, errLinked) {
		return nil, notFound(err)
	}
	if err != nil {
		return nil, err
	}
	var info *tusd.FileInfo
	var written time.Time
	if once {
		info, written, err = v.readRecordOnce(id)
	} else {
		info, written, err = v.readRecordWithLease(lease, id)
	}
	if isAbsent(err) {
		return nil, notFound(err)
	}
	if err != nil {
		return nil, err
	}
	u := &upload{v: v, id: id, lease: lease, once: once, info: *info}
	if err := u.findData(written); err != nil {
		return nil, err
	}
	return u, nil
}

// findData finds the data of an upload whose record was written at that time, and the
// offset.
func (u *upload) findData(written time.Time) (err error) {
	v, storage := u.v, u.info.Storage
	if isMarked(&u.info) {
		return broken(v.record(u.id).path(), "%w", errRemovalCut)
	}
	here := v.isDefaultStorage(u.id, storage)
	if here {
		u.data = v.file(u.id)
	} else if u.data, err = v.storedData(u.id, storage["Path"]); err != nil {
		return err
	}
	if u.data != v.file(u.id) && v.belongsToOther(u.data) {
		return broken(v.record(u.id).path(), "it names the data of another upload")
	}
	if u.info.Offset, _, err = u.findOffset(); err != nil {
		return err
	}
	if u.info.Changed = written; u.modified.After(written) {
		u.info.Changed = u.modified
	}
	if !here || u.data != v.file(u.id) {
		u.info.Storage = v.storage(u.id, u.data)
	}
	return nil
}

func (u *upload) openData() (durable.File, error) {
	return u.data.tree.Open(u.data.name)
}

// GetInfo implements tusd.Upload.
func (u *upload) GetInfo(ctx context.Context) (tusd.FileInfo, error) {
	if ctx.Err() != nil {
		return tusd.FileInfo{}, failed("get the record of upload", u.id, context.Cause(ctx))
	}
	return u.current(), nil
}

// MakeDurable implements tusd.Upload.
func (u *upload) MakeDurable(ctx context.Context) error {
	if ctx.Err() != nil {
		return failed("sync upload", u.id, context.Cause(ctx))
	}
	return failed("sync upload", u.id, u.ensureDurable(u.current()))
}

// current returns the record as of the last load or change.
func (u *upload) current() tusd.FileInfo {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.info
}

// maxOffset returns the largest offset that the upload can reach.
func (u *upload) maxOffset() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.info.SizeIsDeferred {
		return maxSize
	}
	return u.info.Size
}

// setChanged sets the time of the last change to now, or a little earlier, so that the time
// of the files is not earlier still.
func (u *upload) setChanged() {
	u.change(func(info *tusd.FileInfo) { info.Changed = time.Now().Add(-clockTick) })
}

// clockTick is how far the clock for the times of files may be behind at most.
const clockTick = 10 * time.Millisecond

// change edits u.info under its mutex.
func (u *upload) change(edit func(*tusd.FileInfo)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	edit(&u.info)
}

// checkLease returns an error if the lease does not allow changes (any more).
func (u *upload) checkLease(ctx context.Context) error { return tusd.CheckLease(ctx, u.lease) }

// asUpload returns the upload of this store behind the contract's type.
func asUpload(up tusd.Upload) (*upload, error) {
	u, ok := up.(*upload)
	if !ok {
		return nil, fmt.Errorf("filestore: an upload of type %T is not of this store", up)
	}
	return u, nil
}
