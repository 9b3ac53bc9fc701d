package filestore

import (
	"context"
	"errors"

	"github.com/tus/tusd"
)

// Terminate implements tusd.Terminater. If a directory has the name of one of the
// files, it is removed only if it is empty.
func (s *FileStore) Terminate(ctx context.Context, lease tusd.Lease, id string) error {
	v, err := s.volume()
	if err != nil {
		return err
	}
	if err := tusd.ValidateID(id); err != nil {
		return err
	}
	u := &upload{v: v, id: id, lease: lease}
	if err := u.checkLease(ctx); err != nil {
		return failed("terminate upload", id, err)
	}
	return failed("terminate upload", id, u.terminate())
}

// terminate removes the data before the record: after a crash in between there is a
// record without data, which is no upload and can be terminated again.
func (u *upload) terminate() error {
	data, err := u.dataToRemove()
	if err != nil {
		return err
	}
	u.v.uploads.invalidateRecord(u.id)
	for _, p := range data { // if that fails, the state still says which bytes must be cut
		if err := u.v.removeFile(p); err != nil {
			return err
		}
	}
	defer u.v.uploads.invalidateState(u.id)
	if err := u.removeLeftUndoRecord(); err != nil {
		return err
	}
	for _, suffix := range []string{".lock", ".stop"} {
		if p := u.v.file(u.id + suffix); !u.v.isFree(p) {
			u.v.removeFile(p) // of tusd v2; it has no effect here
		}
	}
	return u.removeRecord(data)
}

// dataToRemove returns the data files of an upload. Its record must exist, but may be
// broken.
func (u *upload) dataToRemove() ([]treePath, error) {
	v := u.v
	err := v.checkNoLinks(u.id)
	if errors.Is(err, errLinked) {
		return nil, notFound(err)
	}
	if err != nil {
		return nil, err
	}
	info, _ := v.confirmedRecord(u.lease, u.id)
	if info == nil {
		info, _, err = v.readRecordOnce(u.id)
	}
	if isAbsent(err) {
		return nil, notFound(err)
	}
	if err == nil {
		data, err := v.storedData(u.id, info.Storage["Path"])
		switch {
		case err != nil:
			return nil, err
		case data != v.file(u.id) && v.belongsToOther(data):
			return nil, nil // broken: another upload keeps its data
		case data != v.file(u.id):
			return []treePath{data}, nil
		}
	} else if !errors.Is(err, tusd.ErrBroken) {
		return nil, err
	}
	data, old := v.file(u.id), v.file(u.id+".bin")
	if v.isFree(data) && v.isFree(v.record(old.name)) {
		return []treePath{data, old}, nil
	}
	return []treePath{data}, nil
}

// removeLeftUndoRecord removes the undo record. Its removal is on disk before that of
// the record: it must not come back beside a later upload with the same id.
func (u *upload) removeLeftUndoRecord() error {
	undo := u.v.undo(u.id)
	if u.v.isFree(undo) {
		return nil
	}
	if err := u.v.removeFile(undo); err != nil || u.v.level != Ack {
		return err
	}
	return undo.tree.SyncParent(undo.name)
}

// removeRecord removes the record, which ends the upload, and makes all removals as
// durable as the level requires.
func (u *upload) removeRecord(data []treePath) error {
	record := u.v.record(u.id)
	err := record.tree.Remove(record.name)
	if err != nil && !isAbsent(err) {
		if stat, statErr := record.tree.Lstat(record.name); statErr == nil && stat.Mode.IsDir() {
			return notFound(err) // a directory with files in it is no record
		}
		return err
	}
	if u.v.level == Ack {
		if err := u.syncRemoval(record, data); err != nil {
			return err
		}
	}
	u.v.removeEmptyParents(record)
	for _, p := range data {
		u.v.removeEmptyParents(p)
	}
	return nil
}

func (u *upload) syncRemoval(record treePath, data []treePath) error {
	if err := record.tree.SyncParent(record.name); err != nil {
		return err
	}
	for _, p := range data {
		if sameParent(p, record) {
			continue
		}
		if err := p.tree.SyncParent(p.name); err != nil && !isAbsent(err) {
			return err
		}
	}
	return nil
}

// removeFile removes p. A missing file is no error, nor is a directory that is not
// empty: other uploads may be in it.
func (v *volume) removeFile(p treePath) error {
	err := p.tree.Remove(p.name)
	if err == nil || isAbsent(err) {
		return nil
	}
	if stat, statErr := p.tree.Lstat(p.name); statErr == nil && stat.Mode.IsDir() {
		return nil
	}
	return err
}
