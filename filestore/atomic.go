package filestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tus/tusd"
)

// rollbackMark is the content of <id>.undo: where to cut if the chunk that is
// being written does not come to its end.
type rollbackMark struct {
	Offset  int64
	Created time.Time // of the upload: a mark of an earlier one with this id does not count
}

// maxRollbackMark bounds what is read as a rollback mark, in bytes.
const maxRollbackMark = 1 << 10

// WriteAtomic implements tusd.AtomicWriter.
func (s *FileStore) WriteAtomic(ctx context.Context, up tusd.Upload, offset int64, src io.Reader) (int64, error) {
	u, err := ours(up)
	if err != nil {
		return 0, err
	}
	c, err := u.begin(ctx, offset)
	if err != nil {
		return 0, failed("write to upload", u.id, err)
	}
	defer c.f.Close()
	if err := c.writeWhole(ctx, src); err != nil {
		return 0, failed("write to upload", u.id, errors.Join(err, c.takeBack()))
	}
	return c.at - c.start, nil
}

// writeWhole leaves the rollback mark, writes the chunk and removes the mark:
// each on the disk before the next begins, if the level says so.
func (c *chunk) writeWhole(ctx context.Context, src io.Reader) error {
	u := c.u
	if err := u.leaveRollbackMark(c.start); err != nil {
		return err
	}
	if err := c.copy(ctx, src); err != nil {
		return err
	}
	info, m := u.current(), c.mark
	info.Offset = c.at
	if u.v.level.holds(info) {
		if err := c.f.Sync(); err != nil {
			return err
		}
		if !m.settled {
			if err := u.syncNames(); err != nil {
				return err
			}
		}
		m.synced, m.settled = c.at, true
	}
	if err := u.usable(ctx); err != nil {
		return err
	}
	if err := u.removeRollbackMark(); err != nil {
		return err
	}
	u.v.marks.set(u.id, u.lease, m)
	u.change(func(now *tusd.FileInfo) { now.Offset = c.at })
	return nil
}

// takeBack undoes a chunk. If that does not succeed the rollback mark stays,
// and who loads the upload next does it.
func (c *chunk) takeBack() error {
	u := c.u
	if u.lease.Context().Err() != nil {
		u.v.marks.forget(u.id)
		return nil
	}
	err := c.f.Truncate(c.start)
	if err == nil && u.v.level == Ack {
		err = c.f.Sync()
	}
	if err == nil {
		err = u.removeRollbackMark()
	}
	if err != nil {
		u.v.marks.forget(u.id)
		return err
	}
	u.v.marks.set(u.id, u.lease, c.mark)
	return nil
}

func (u *upload) leaveRollbackMark(offset int64) error {
	content, err := json.Marshal(rollbackMark{Offset: offset, Created: u.current().Created})
	if err != nil {
		return err
	}
	return u.v.replace(u.v.undo(u.id), content, u.v.level == Ack)
}

// removeRollbackMark is done if there is none.
func (u *upload) removeRollbackMark() error {
	undo := u.v.undo(u.id)
	if err := undo.tree.Remove(undo.name); err != nil && !absent(err) {
		return err
	}
	if u.v.level != Ack {
		return nil
	}
	return undo.tree.SyncParent(undo.name)
}

// rollBack finds the offset of an upload with size bytes beside which a
// rollback mark may lie, and cuts the data to it.
func (u *upload) rollBack(size int64) (int64, error) {
	offset, found, err := u.readRollbackMark()
	if err != nil {
		return 0, err
	}
	if found {
		if err := u.cutToRollbackMark(size, offset); err != nil {
			return 0, err
		}
		size = min(size, offset)
	}
	u.v.marks.set(u.id, u.lease, mark{synced: unknown})
	if !u.info.SizeIsDeferred && size == u.info.Size { // somebody looks at a complete one
		u.v.forgetLater(u.id)
	}
	return size, nil
}

// rolledBackSize is what a reader without a lease sees of size bytes. Where no
// mark was found, the size may be from the time of one that another process
// has just removed: it is looked at again.
func (u *upload) rolledBackSize(size int64) (int64, error) {
	offset, found, err := u.readRollbackMark()
	if err != nil || found {
		return min(size, offset), err
	}
	stat, err := regular(u.data)
	if absent(err) {
		return 0, u.dataMissing(err) // removed since it was looked at
	}
	if err != nil {
		return 0, err
	}
	return min(size, stat.Size), nil
}

func (u *upload) cutToRollbackMark(size, offset int64) error {
	if err := u.lease.Context().Err(); err != nil {
		return context.Cause(u.lease.Context())
	}
	if size > offset {
		f, err := u.openData()
		if err != nil {
			return err
		}
		defer f.Close()
		if err := f.Truncate(offset); err != nil {
			return err
		}
		if u.v.level == Ack {
			if err := f.Sync(); err != nil {
				return err
			}
		}
	}
	return u.removeRollbackMark()
}

// readRollbackMark reads the mark of this upload, if there is one.
func (u *upload) readRollbackMark() (offset int64, found bool, err error) {
	where := u.v.undo(u.id)
	content, _, err := readSmall(where, maxRollbackMark)
	if absent(err) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	var undo rollbackMark
	if err := json.Unmarshal(content, &undo); err != nil {
		return 0, false, broken(where.path(), "it is not a rollback mark: %w", err)
	}
	if undo.Offset < 0 || undo.Offset > maxSize {
		return 0, false, broken(where.path(), "an offset of %d is impossible", undo.Offset)
	}
	if !undo.Created.Equal(u.info.Created) {
		return maxSize, true, nil // of an earlier upload: to be removed, nothing to be cut
	}
	return undo.Offset, true, nil
}

// ours finds the upload behind the contract's type.
func ours(up tusd.Upload) (*upload, error) {
	u, ok := up.(*upload)
	if !ok {
		return nil, fmt.Errorf("filestore: an upload of type %T is not of this store", up)
	}
	return u, nil
}
