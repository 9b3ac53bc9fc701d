package filestore

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

// upload is one upload as loaded.
type upload struct {
	v     *volume
	id    string
	data  place
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
	err := v.noLinks(id)
	if errors.Is(err, errLinked) {
		return nil, notFound(err)
	}
	if err != nil {
		return nil, err
	}
	info, err := v.readRecordUnder(lease, id)
	if absent(err) {
		return nil, notFound(err)
	}
	if err != nil {
		return nil, err
	}
	u := &upload{v: v, id: id, lease: lease, info: *info}
	here := v.liesHere(id, info.Storage)
	if here {
		u.data = v.own(id)
	} else if u.data, err = v.storedData(id, info.Storage["Path"]); err != nil {
		return nil, err
	}
	if u.data != v.own(id) && v.isAnothers(u.data) {
		return nil, broken(v.record(id).path(), "it names the data of another upload")
	}
	if u.info.Offset, _, err = u.findOffset(); err != nil {
		return nil, err
	}
	if !here || u.data != v.own(id) {
		u.info.Storage = v.storage(id, u.data)
	}
	return u, nil
}

// findOffset takes the offset from the data, and returns with it what is known
// of that under the lease. The table of marks may have forgotten it by now.
func (u *upload) findOffset() (int64, mark, error) {
	if u.lease == nil {
		size, err := u.findOffsetBesideWriter()
		return size, mark{}, err
	}
	m, trusted := u.v.marks.trusted(u.id, u.v.scope, u.lease)
	size, err := u.dataSize()
	if err != nil {
		return 0, mark{}, err
	}
	switch {
	case trusted && m.cut:
		m, err = u.cutBack(m)
		return m.synced, m, err
	case trusted:
		return size, m, u.checkSize(size)
	}
	if size, err = u.rollBack(size); err != nil {
		return 0, mark{}, err
	}
	return size, mark{synced: unknown}, u.checkSize(size)
}

// findOffsetBesideWriter is findOffset without a lease: a chunk may begin, end
// or be taken back meanwhile. It looks again until nothing of that happened.
func (u *upload) findOffsetBesideWriter() (int64, error) {
	for {
		m, trusted := u.v.marks.trusted(u.id, u.v.scope, nil)
		size, err := u.dataSize()
		if err != nil {
			return 0, err
		}
		if trusted {
			size = min(size, m.visible(u.v.level))
		} else if size, err = u.rolledBackSize(size); err != nil {
			return 0, err
		}
		if again, _ := u.v.marks.trusted(u.id, u.v.scope, nil); again == m {
			return size, u.checkSize(size)
		}
	}
}

// checkSize tells what is wrong with data of size bytes.
func (u *upload) checkSize(size int64) error {
	if !u.info.SizeIsDeferred && size > u.info.Size {
		return broken(u.data.path(), "it has %d bytes, the upload's length is %d", size, u.info.Size)
	}
	return nil
}

// dataSize looks for the data, also under the name that tusd 0.x gave it.
func (u *upload) dataSize() (int64, error) {
	stat, err := regular(u.data)
	if err == nil {
		u.modified = stat.Modified
		return stat.Size, nil
	}
	if !absent(err) {
		return 0, err
	}
	old := u.v.own(u.id + ".bin")
	if u.data == u.v.own(u.id) && u.v.isFree(u.v.record(old.name)) {
		if stat, err := regular(old); err == nil {
			u.data, u.modified = old, stat.Modified
			return stat.Size, nil
		}
	}
	return 0, u.dataMissing(err)
}

func (u *upload) dataMissing(err error) error {
	return broken(u.v.record(u.id).path(), "its data is missing: %w", err)
}

// isFree tells whether nothing has the name of p.
func (v *volume) isFree(p place) bool {
	_, err := p.tree.Lstat(p.name)
	return absent(err)
}

// regular describes a file that can be an upload's data.
func regular(p place) (durable.Info, error) {
	stat, err := p.tree.Lstat(p.name)
	if err != nil {
		return durable.Info{}, err
	}
	if !stat.Mode.IsRegular() {
		return durable.Info{}, broken(p.path(), "%w (%s)", durable.ErrIrregular, stat.Mode)
	}
	if stat.Size > maxSize {
		return durable.Info{}, broken(p.path(), "it has %d bytes", stat.Size)
	}
	return stat, nil
}

// visible is how many bytes a reader without a lease may see.
func (m mark) visible(level Durability) int64 {
	switch {
	case m.writing:
		return m.start
	case m.cut || level == Ack && m.synced != unknown:
		return m.synced
	}
	return maxSize
}

// cutBack removes what could not be made durable earlier, and returns the mark of
// what is left.
func (u *upload) cutBack(m mark) (mark, error) {
	f, err := u.openData()
	if err != nil {
		return m, err
	}
	defer f.Close()
	if err := errors.Join(f.Truncate(m.synced), f.Sync()); err != nil {
		return m, err
	}
	m = mark{synced: m.synced, settled: m.settled}
	u.v.marks.set(u.id, u.lease, m)
	return m, nil
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
	if err := u.settle(info); err != nil {
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

// settle makes sure that what info shows holds as the level promises.
func (u *upload) settle(info tusd.FileInfo) error {
	if !u.v.level.holds(info) {
		return nil
	}
	m, trusted := u.v.marks.trusted(u.id, u.v.scope, u.lease)
	if trusted && m.settled && m.synced >= info.Offset {
		return nil
	}
	if info.Full() && u.v.marks.settledFull(u.id, u.modified) {
		return nil
	}
	f, err := u.openData()
	if err != nil {
		return err
	}
	defer f.Close()
	if u.lease == nil {
		err = errors.Join(f.SyncShared(), u.syncNames())
	} else {
		err = u.settleData(f, info.Offset, m)
	}
	if err == nil && info.Full() {
		u.v.marks.setSettledFull(u.id, u.modified)
	}
	return err
}

// settleData syncs what m does not know to be on the disk, and remembers it.
// The caller holds the lease.
func (u *upload) settleData(f durable.File, offset int64, m mark) error {
	if err := f.Sync(); err != nil {
		return err
	}
	if !m.settled {
		if err := u.syncNames(); err != nil {
			return err
		}
	}
	u.v.marks.set(u.id, u.lease, mark{synced: offset, settled: true})
	return nil
}

// syncNames makes the record and the names of both files durable.
func (u *upload) syncNames() error {
	record := u.v.record(u.id)
	f, err := record.tree.Open(record.name)
	if err != nil {
		return err
	}
	err = errors.Join(f.SyncShared(), f.Close())
	return errors.Join(err, u.v.syncNamesOf(u.data, record))
}

// usable tells whether the lease allows a change.
func (u *upload) usable(ctx context.Context) error { return tusd.CheckLease(ctx, u.lease) }
