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
	r, err := u.prepareRemoval()
	if err != nil {
		return err
	}
	u.v.uploads.invalidateRecord(u.id)
	if r.owned {
		for _, p := range r.data { // if that fails, the state still says which bytes must be cut
			if err := u.v.removeFile(p); err != nil {
				return err
			}
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
	return u.removeRecord(r.data)
}

// removal is the data that an upload has, or had.
type removal struct {
	data  []treePath
	owned bool // what is there is of the upload, and not of another one
}

// prepareRemoval finds the data of an upload, and marks its record if another upload could
// get the same place. The record must exist, but may be broken.
func (u *upload) prepareRemoval() (removal, error) {
	v := u.v
	err := v.checkNoLinks(u.id)
	if errors.Is(err, errLinked) {
		return removal{}, notFound(err)
	}
	if err != nil {
		return removal{}, err
	}
	info, _ := v.confirmedRecord(u.lease, u.id)
	if info == nil {
		info, _, err = v.readRecordOnce(u.id)
	}
	switch {
	case isAbsent(err):
		return removal{}, notFound(err)
	case err == nil:
		return u.prepareNamed(info)
	case !errors.Is(err, tusd.ErrBroken):
		return removal{}, err
	}
	if v.mayBeOld(u.id) {
		return removal{[]treePath{v.file(u.id), v.oldFile(u.id)}, true}, nil
	}
	return removal{[]treePath{v.file(u.id)}, true}, nil
}

// prepareNamed is prepareRemoval for a record that can be read.
func (u *upload) prepareNamed(info *tusd.FileInfo) (removal, error) {
	v := u.v
	if isMarked(info) {
		return u.prepareMarked(info)
	}
	data, err := v.storedData(u.id, info.Storage["Path"])
	switch {
	case err != nil:
		return removal{}, err
	case data != v.file(u.id):
	case info.Storage["Path"] == "" && v.mayBeOld(u.id):
		data = v.oldFile(u.id)
	default: // no other upload gets this place as long as the record exists
		return removal{[]treePath{data}, true}, nil
	}
	if v.belongsToOther(data) {
		return removal{}, nil // broken: another upload keeps its data
	}
	stat, err := data.tree.Lstat(data.name)
	if isAbsent(err) {
		return removal{data: []treePath{data}}, nil
	}
	if err != nil {
		return removal{}, err
	}
	if err := u.mark(info, data, stat); err != nil && !isNoSpace(err) { // on a full disk, removals must go on
		return removal{}, err
	}
	return removal{[]treePath{data}, true}, nil
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
