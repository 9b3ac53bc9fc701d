package filestore

import (
	"context"
	"encoding/json"
	"time"
)

// undoRecord is the content of <id>.undo: where to cut if the chunk that is
// being written does not come to its end.
type undoRecord struct {
	Offset  int64
	Created time.Time // of the upload: a mark of an earlier one with this id does not count
}

// maxUndoRecord bounds what is read as a rollback mark, in bytes.
const maxUndoRecord = 1 << 10

func (u *upload) writeUndoRecord(offset int64) error {
	content, err := json.Marshal(undoRecord{Offset: offset, Created: u.current().Created})
	if err != nil {
		return err
	}
	return u.v.replace(u.v.undo(u.id), content, u.v.level == Ack)
}

// removeUndoRecord is done if there is none.
func (u *upload) removeUndoRecord() error {
	undo := u.v.undo(u.id)
	if err := undo.tree.Remove(undo.name); err != nil && !isAbsent(err) {
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
	offset, found, err := u.readUndoRecord()
	if err != nil {
		return 0, err
	}
	if found {
		if err := u.truncateToUndoRecord(size, offset); err != nil {
			return 0, err
		}
		size = min(size, offset)
	}
	u.v.syncStates.set(u.id, u.lease, syncState{synced: unknownOffset})
	if !u.info.SizeIsDeferred && size == u.info.Size { // somebody looks at a complete one
		u.v.rememberCompleted(u.id)
	}
	return size, nil
}

// visibleSize is what a reader without a lease sees of size bytes. Where no
// mark was found, the size may be from the time of one that another process
// has just removed: it is looked at again.
func (u *upload) visibleSize(size int64) (int64, error) {
	offset, found, err := u.readUndoRecord()
	if err != nil || found {
		return min(size, offset), err
	}
	stat, err := statRegular(u.data)
	if isAbsent(err) {
		return 0, u.dataMissing(err) // removed since it was looked at
	}
	if err != nil {
		return 0, err
	}
	return min(size, stat.Size), nil
}

func (u *upload) truncateToUndoRecord(size, offset int64) error {
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
	return u.removeUndoRecord()
}

// readUndoRecord reads the mark of this upload, if there is one.
func (u *upload) readUndoRecord() (offset int64, found bool, err error) {
	where := u.v.undo(u.id)
	content, _, err := readSmall(where, maxUndoRecord)
	if isAbsent(err) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	var undo undoRecord
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
