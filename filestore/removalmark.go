package filestore

import (
	"errors"
	"fmt"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

// A removal whose data has another name than the id marks the record first. When the data
// has gone, its name is free, and another upload may get it before the record goes:
// without the mark, the record would name the data of that upload.

// Fields of Storage in a marked record. Its Path is that of the default data file, so that
// programs that do not know the mark find no data.
const (
	markedPath = "RemovedPath" // of the data
	markedFile = "RemovedFile" // identity
)

var errRemovalCut = errors.New("its removal was cut short")

func isMarked(info *tusd.FileInfo) bool { return info.Storage[markedPath] != "" }

// mark replaces the record of an upload by one that is no upload any more, and that says what
// is removed.
func (u *upload) mark(info *tusd.FileInfo, data treePath, stat durable.Info) error {
	v := u.v
	marked := tusd.FileInfo{
		ID: u.id, Size: info.Size, SizeIsDeferred: info.SizeIsDeferred, Version: info.Version, Created: info.Created,
		Storage: v.storage(u.id, v.file(u.id)),
	}
	marked.Storage[markedPath], marked.Storage[markedFile] = data.path(), identity(stat)
	content, err := formatRecord(marked)
	if err != nil {
		return err
	}
	v.uploads.invalidateRecord(u.id)
	return v.replace(v.record(u.id), content, v.level != None)
}

// identity tells the data of an upload that is being removed from data that gets its name
// later. A copy of the directory keeps it. Numbers of files would be used again at once.
func identity(stat durable.Info) string {
	return fmt.Sprintf("%d bytes, changed at %d", stat.Size, stat.Modified.UnixNano())
}

// prepareMarked is prepareRemoval for a record that has a mark.
func (u *upload) prepareMarked(info *tusd.FileInfo) (removal, error) {
	data, err := u.v.storedData(u.id, info.Storage[markedPath])
	if err != nil {
		return removal{}, err
	}
	stat, err := data.tree.Lstat(data.name)
	if err != nil && !isAbsent(err) {
		return removal{}, err
	}
	return removal{[]treePath{data}, err == nil && identity(stat) == info.Storage[markedFile]}, nil
}
