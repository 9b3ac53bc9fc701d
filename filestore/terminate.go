package filestore

import (
	"context"
	"errors"

	"github.com/tus/tusd"
)

// Terminate implements tusd.Terminater. A directory where a file should be is
// removed only if it is empty.
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

// terminate removes the data before the record: cut short, it leaves a record
// without data, which is no upload and can be terminated again.
func (u *upload) terminate() error {
	data, err := u.dataToRemove()
	if err != nil {
		return err
	}
	u.v.syncStates.forget(u.id)
	defer u.v.syncStates.forget(u.id)
	u.v.decoded.invalidate(u.id)
	for _, p := range data {
		if err := u.v.removeFile(p); err != nil {
			return err
		}
	}
	if err := u.removeLeftUndoRecord(); err != nil {
		return err
	}
	for _, suffix := range []string{".lock", ".stop"} {
		if p := u.v.file(u.id + suffix); !u.v.isFree(p) {
			u.v.removeFile(p) // an operator's or tusd v2's; they decide nothing
		}
	}
	return u.removeRecord(data)
}

// dataToRemove finds the data of an upload whose record may be broken, but
// must be there.
func (u *upload) dataToRemove() ([]treePath, error) {
	v := u.v
	err := v.checkNoLinks(u.id)
	if errors.Is(err, errLinked) {
		return nil, notFound(err)
	}
	if err != nil {
		return nil, err
	}
	info, err := v.readRecordWithLease(u.lease, u.id)
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

// removeLeftUndoRecord removes the rollback mark. Its removal is on the disk before the
// record's: it must not come back beside a later upload of the same name.
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

// removeRecord removes the record, which ends the upload, and makes the
// removal of all as durable as the level says.
func (u *upload) removeRecord(data []treePath) error {
	record := u.v.record(u.id)
	err := record.tree.Remove(record.name)
	if err != nil && !isAbsent(err) {
		if stat, statErr := record.tree.Lstat(record.name); statErr == nil && stat.Mode.IsDir() {
			return notFound(err) // with files in it, it is somebody's directory, and no record
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

// removeFile removes p. What is not there, and a directory with something in
// it, are no error: other uploads may be in there.
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
