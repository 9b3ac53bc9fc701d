package filestore

import (
	"context"
	"encoding/json"
	"time"
)

// undoRecord is the content of <id>.undo: it tells where to cut the data if the
// chunk that is being written fails.
type undoRecord struct {
	Offset  int64
	Created time.Time // of the upload; an undo record of an earlier upload with this id is not valid
}

// maxUndoRecord bounds the length of an undo record, in bytes.
const maxUndoRecord = 1 << 10

func (u *upload) writeUndoRecord(offset int64) error {
	content, err := json.Marshal(undoRecord{Offset: offset, Created: u.current().Created})
	if err != nil {
		return err
	}
	return u.v.replace(u.v.undo(u.id), content, u.v.level == Ack)
}

// removeUndoRecord removes the undo record. A missing one is no error.
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

// applyUndoRecord cuts the data, which has size bytes, to the offset of the undo
// record if there is one. It returns the offset of the upload.
func (u *upload) applyUndoRecord(size int64) (int64, error) {
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
	if u.once {
		return size, nil
	}
	u.v.uploads.setState(u.id, u.lease, syncState{synced: unknownOffset})
	if !u.info.SizeIsDeferred && size == u.info.Size { // the upload is full
		u.v.uploads.rememberCompleted(u.id, u.v.level != None)
	}
	return size, nil
}

// visibleSize returns how many of size bytes a reader without a lease may see. If
// there is no undo record, another process may have just removed it, after size
// was read: the size is read again.
func (u *upload) visibleSize(size int64) (int64, error) {
	offset, found, err := u.readUndoRecord()
	if err != nil || found {
		return min(size, offset), err
	}
	stat, err := statRegular(u.data)
	if isAbsent(err) {
		return 0, u.dataMissing(err) // removed since size was read
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
	if offset != maxSize {
		if err := u.truncateAndSync(size, offset); err != nil {
			return err
		}
	}
	return u.removeUndoRecord()
}

// truncateAndSync cuts the data to offset. It syncs also if an earlier process has cut
// it: the removal of the undo record must not be on disk before the cut is.
func (u *upload) truncateAndSync(size, offset int64) error {
	f, err := u.openData()
	if err != nil {
		return err
	}
	defer f.Close()
	if size > offset {
		if err := f.Truncate(offset); err != nil {
			return err
		}
	}
	if u.v.level != Ack {
		return nil
	}
	return f.Sync()
}

// readUndoRecord reads the undo record. found is false if there is none. If it is of an
// earlier upload with this id, offset is maxSize, which cuts nothing.
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
		return 0, false, broken(where.path(), "it is not an undo record: %w", err)
	}
	if undo.Offset < 0 || undo.Offset > maxSize {
		return 0, false, broken(where.path(), "an offset of %d is impossible", undo.Offset)
	}
	if !undo.Created.Equal(u.info.Created) {
		return maxSize, true, nil // of an earlier upload: remove it and cut nothing
	}
	return undo.Offset, true, nil
}
