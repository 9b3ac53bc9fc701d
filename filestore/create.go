package filestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

// NewUpload implements tusd.DataStore. Storage["Path"] of info, from a callback, is the path
// of the data: relative to the upload directory, or absolute below it or a storage root.
func (s *FileStore) NewUpload(ctx context.Context, lease tusd.Lease, info tusd.FileInfo) (tusd.Upload, error) {
	v, err := s.volume()
	if err != nil {
		return nil, err
	}
	if err := tusd.ValidateID(info.ID); err != nil {
		return nil, err
	}
	u := &upload{v: v, id: info.ID, lease: lease, info: info}
	if err := u.checkLease(ctx); err != nil {
		return nil, failed("create upload", info.ID, err)
	}
	if err := u.create(); err != nil {
		return nil, failed("create upload", info.ID, err)
	}
	return u, nil
}

// create creates the files of u, which has the record.
func (u *upload) create() error {
	v := u.v
	record, err := u.prepareRecord()
	if err != nil {
		return err
	}
	stamp, err := v.createFiles(u.data, v.record(u.id), record)
	if err != nil {
		return err
	}
	v.cacheNew(&u.info, record, stamp)
	u.setChanged()
	v.uploads.setState(u.id, u.lease, syncState{synced: 0, namesSynced: v.level == Ack})
	return nil
}

// prepareRecord checks the record of u, chooses the place of the data, and formats the
// record. It is not inlined: its copies of the record would make the stack larger in which
// the files are created, and which a slow creation keeps.
//
//go:noinline
func (u *upload) prepareRecord() (record []byte, err error) {
	v, info := u.v, &u.info
	if info.Size < 0 || info.Size > maxSize {
		return nil, tusd.ErrMaxSizeExceeded.With(fmt.Errorf("a length of %d is impossible", info.Size))
	}
	if err := v.checkNoLinks(u.id); errors.Is(err, errLinked) {
		return nil, tusd.ErrInvalidName.With(err)
	} else if err != nil {
		return nil, err
	}
	if u.data, err = v.newData(*info); err != nil {
		return nil, err
	}
	if err := v.checkAnnounced(u.data, missingBytes(*info)); err != nil {
		return nil, err
	}
	info.Offset = 0
	info.Storage = v.storage(u.id, u.data)
	return formatRecord(*info)
}

// createFiles creates data and record of an upload, or neither. The data comes first: data
// without a record is no upload.
func (v *volume) createFiles(data, record treePath, content []byte) (durable.Stamp, error) {
	if err := v.checkNotOthersData(data, record); err != nil {
		return durable.Stamp{}, v.refused(record, err)
	}
	f, err := v.createFile(data)
	if err != nil {
		return durable.Stamp{}, v.refused(record, err)
	}
	if err := f.Close(); err != nil {
		return durable.Stamp{}, errors.Join(err, v.discard(data))
	}
	f, err = v.createFile(record)
	if err != nil {
		return durable.Stamp{}, errors.Join(v.refused(record, err), v.discard(data))
	}
	stamp, err := v.fillRecord(f, data, record, content)
	if err != nil {
		return durable.Stamp{}, errors.Join(err, v.discard(record), v.discard(data))
	}
	return stamp, nil
}

// cacheNew puts a new record into the cache, so that the first load does not read and
// decode it. Strings that are not UTF-8 are different after encoding and decoding, so a
// record with one is not cached.
func (v *volume) cacheNew(info *tusd.FileInfo, record []byte, stamp durable.Stamp) {
	for name, value := range info.MetaData {
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return
		}
	}
	if !utf8.ValidString(info.RawMetaData) || !utf8.ValidString(info.RawConcat) {
		return
	}
	known := *info
	known.Created = known.Created.Round(0) // a decoded record has no monotonic clock reading
	v.uploads.addRecord(&known, record, stamp)
}

// errTaken means that another file has the name of a new one, or of one of its directories.
var errTaken = errors.New("the name is taken")

// refused returns the error for an upload whose files could not be created. If a name is taken
// and the upload does not exist, that is the fault of who has chosen the id or the place.
func (v *volume) refused(record treePath, err error) error {
	switch {
	case !errors.Is(err, errTaken):
		return err
	case v.isFree(record):
		return tusd.ErrInvalidName.With(err)
	}
	return tusd.ErrUploadExists.With(err)
}

// isChosen reports whether a callback or a template has chosen the place of the data.
func isChosen(data, record treePath) bool {
	return data.tree != record.tree || data.name != strings.TrimSuffix(record.name, recordSuffix)
}

// checkNotOthersData refuses a data file, chosen by a callback, that is the default data
// file of another upload.
func (v *volume) checkNotOthersData(data, record treePath) error {
	if isChosen(data, record) && v.belongsToOther(data) {
		return fmt.Errorf("%w: %s is the data of another upload", errTaken, data.path())
	}
	return nil
}

// belongsToOther reports whether data is, or may be, the default data file of an
// upload with this name as its id.
func (v *volume) belongsToOther(data treePath) bool {
	return data.tree == v.tree && !v.isFree(v.record(data.name))
}

// createFile creates a file that must not exist, and its directories.
func (v *volume) createFile(p treePath) (f durable.File, err error) {
	err = v.inParents(func() error {
		f, err = p.tree.Create(p.name, v.filePerm)
		return err
	}, p)
	switch {
	case errors.Is(err, os.ErrExist) || errors.Is(err, syscall.ENOTDIR):
		err = fmt.Errorf("%w: %w", errTaken, err)
	case isImpossibleName(err):
		err = tusd.ErrInvalidName.With(err)
	}
	if err != nil {
		v.removeEmptyParents(p)
	}
	return f, err
}

// fillRecord writes a new record, and syncs what the level requires. It closes f.
func (v *volume) fillRecord(f durable.File, data, record treePath, content []byte) (durable.Stamp, error) {
	_, err := f.Write(content)
	if err == nil && v.level == Ack {
		err = f.Sync()
	}
	stat, statErr := f.Info()
	if err = errors.Join(err, statErr, f.Close()); err != nil || v.level != Ack {
		return stat.Stamp, err
	}
	return stat.Stamp, v.syncNamesOf(data, record)
}

// discard removes a file of an upload that could not be created.
func (v *volume) discard(p treePath) error {
	err := p.tree.Remove(p.name)
	if err == nil && v.level == Ack {
		err = p.tree.SyncParent(p.name)
	}
	v.removeEmptyParents(p)
	return err
}
