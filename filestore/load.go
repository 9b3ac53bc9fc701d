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

// upload is one upload as loaded.
type upload struct {
	v     *volume
	id    string
	data  treePath
	lease tusd.Lease // nil: for reading
	// modified is when the data had last been changed as it was loaded
	modified time.Time

	mu   sync.Mutex    // GetInfo may be called beside the others
	info tusd.FileInfo // Offset: what the data file has
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
	u, err := v.load(lease, id)
	if err != nil {
		return nil, failed("load upload", id, err)
	}
	return u, nil
}

// load reads the record, finds the data and, for the holder of a lease,
// finishes what an all-or-nothing chunk left.
func (v *volume) load(lease tusd.Lease, id string) (*upload, error) {
	err := v.checkNoLinks(id)
	if errors.Is(err, errLinked) {
		return nil, notFound(err)
	}
	if err != nil {
		return nil, err
	}
	info, err := v.readRecordWithLease(lease, id)
	if isAbsent(err) {
		return nil, notFound(err)
	}
	if err != nil {
		return nil, err
	}
	u := &upload{v: v, id: id, lease: lease, info: *info}
	here := v.isDefaultStorage(id, info.Storage)
	if here {
		u.data = v.file(id)
	} else if u.data, err = v.storedData(id, info.Storage["Path"]); err != nil {
		return nil, err
	}
	if u.data != v.file(id) && v.belongsToOther(u.data) {
		return nil, broken(v.record(id).path(), "it names the data of another upload")
	}
	if u.info.Offset, _, err = u.findOffset(); err != nil {
		return nil, err
	}
	if !here || u.data != v.file(id) {
		u.info.Storage = v.storage(id, u.data)
	}
	return u, nil
}

// openData opens the data for reading and writing.
func (u *upload) openData() (durable.File, error) {
	return u.data.tree.Open(u.data.name)
}

// GetInfo implements tusd.Upload.
func (u *upload) GetInfo(ctx context.Context) (tusd.FileInfo, error) {
	info := u.current()
	if ctx.Err() != nil {
		return tusd.FileInfo{}, failed("look at upload", u.id, context.Cause(ctx))
	}
	if err := u.ensureDurable(info); err != nil {
		return tusd.FileInfo{}, failed("sync upload", u.id, err)
	}
	return info, nil
}

// current is the record as it is now.
func (u *upload) current() tusd.FileInfo {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.info
}

// maxOffset is where the data of the upload ends at the latest.
func (u *upload) maxOffset() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.info.SizeIsDeferred {
		return maxSize
	}
	return u.info.Size
}

// change edits u.info under its mutex.
func (u *upload) change(edit func(*tusd.FileInfo)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	edit(&u.info)
}

// checkLease tells whether the lease allows a change.
func (u *upload) checkLease(ctx context.Context) error { return tusd.CheckLease(ctx, u.lease) }

// asUpload finds the upload behind the contract's type.
func asUpload(up tusd.Upload) (*upload, error) {
	u, ok := up.(*upload)
	if !ok {
		return nil, fmt.Errorf("filestore: an upload of type %T is not of this store", up)
	}
	return u, nil
}
