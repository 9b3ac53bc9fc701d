package filestore

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/datakey"
)

// CheckKey returns an error if the template is not allowed as FileKey.
func CheckKey(template string) error { return datakey.Check(template) }

// newData returns the path of a new upload's data: the choice of a callback, or the
// expanded template.
func (v *volume) newData(info tusd.FileInfo) (treePath, error) {
	chosen := info.Storage["Path"]
	if chosen == "" && v.fileKey != "" {
		chosen = datakey.Expand(v.fileKey, datakey.Upload{ID: info.ID, Created: info.Created, Filename: info.MetaData["filename"]})
	}
	data, err := v.data(info.ID, chosen)
	if err == nil && chosen != "" {
		err = v.checkReserved(data)
	}
	if errors.Is(err, errStoragePath) {
		err = tusd.ErrInvalidName.With(err)
	}
	return data, err
}

// checkReserved refuses reserved names in any case: on a file system that ignores
// case, x.INFO is the record of x.
func (v *volume) checkReserved(data treePath) error {
	if strings.ContainsRune(data.name, 0) {
		return fmt.Errorf("%w: it has a zero byte", errStoragePath)
	}
	for segment := range strings.SplitSeq(data.name, "/") {
		if data.tree == v.tree && datakey.ReservedAnyCase(segment) {
			return fmt.Errorf("%w: %s is a name that the store uses itself", errStoragePath, data.name)
		}
	}
	return nil
}
