package filestore

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/datakey"
)

// maxFileName bounds what a client's file name may take of a segment, in bytes.
const maxFileName = 150

// CheckKey returns what is wrong with a value for FileKey of a FileStore.
func CheckKey(template string) error { return datakey.Check(template) }

// newData finds the place of a new upload's bytes: what a hook has chosen, or
// what the template makes of it.
func (v *volume) newData(info tusd.FileInfo) (place, error) {
	chosen := info.Storage["Path"]
	if chosen == "" && v.fileKey != "" {
		chosen = expandFileKey(v.fileKey, info)
	}
	data, err := v.data(info.ID, chosen)
	if err == nil && chosen != "" {
		err = v.checkNewName(data)
	}
	if errors.Is(err, errStoragePath) {
		err = tusd.ErrInvalidName.With(err)
	}
	return data, err
}

// checkNewName refuses more than records may lead to: where upper case is no
// difference, x.INFO is the record of x.
func (v *volume) checkNewName(data place) error {
	if strings.ContainsRune(data.name, 0) {
		return fmt.Errorf("%w: it has a zero byte", errStoragePath)
	}
	for segment := range strings.SplitSeq(data.name, "/") {
		if data.tree == v.tree && datakey.Reserved(segment) {
			return fmt.Errorf("%w: %s is a name that the store uses itself", errStoragePath, data.name)
		}
	}
	return nil
}

// expandFileKey is the place of an upload's data below the upload directory.
// What comes from the client is one segment, or a part of one, at the most.
func expandFileKey(key string, info tusd.FileInfo) string {
	return datakey.Expand(key, datakey.Upload{ID: info.ID, Created: info.Created, Filename: safeName(info.MetaData["filename"])})
}

func safeName(name string) string { return datakey.SafeName(name, "._-+ ", maxFileName) }
