package filestore

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/tus/tusd"
)

// maxFileName bounds what a client's file name may take of a segment, in bytes.
const maxFileName = 150

// checkFileKey tells what is wrong with a template for data files.
func checkFileKey(key string) error {
	if key == "" {
		return nil
	}
	if !strings.Contains(key, "{id}") {
		return errors.New("FileKey needs {id}: nothing else keeps two uploads apart")
	}
	plain := expandFileKey(key, tusd.FileInfo{ID: "id"})
	switch {
	case strings.ContainsAny(plain, "{}\x00"):
		return errors.New("FileKey has more than {date}, {id} and {filename} in braces")
	case !filepath.IsLocal(filepath.FromSlash(plain)) || path.Clean(plain) != plain:
		return errors.New("FileKey is no path below the upload directory")
	}
	for segment := range strings.SplitSeq(plain, "/") {
		if reserved(segment) {
			return errors.New("FileKey leads to names that the store uses itself")
		}
	}
	return nil
}

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
		if data.tree == v.tree && reserved(strings.ToLower(segment)) {
			return fmt.Errorf("%w: %s is a name that the store uses itself", errStoragePath, data.name)
		}
	}
	return nil
}

// expandFileKey is the place of an upload's data below the upload directory.
// What comes from the client is one segment, or a part of one, at the most.
func expandFileKey(key string, info tusd.FileInfo) string {
	return strings.NewReplacer(
		"{date}", info.Created.UTC().Format(time.DateOnly),
		"{id}", info.ID,
		"{filename}", safeName(info.MetaData["filename"]),
	).Replace(key)
}

// safeName makes a name for a file out of what a client calls it: letters,
// digits and a few signs, neither hidden nor reserved, never empty.
func safeName(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("._-+ ", r) {
			return r
		}
		return '_'
	}, strings.ToValidUTF8(name, "_"))
	if cut := len(name) - maxFileName; cut > 0 { // the end has the extension
		name = strings.ToValidUTF8(name[cut:], "")
	}
	name = strings.TrimRight(strings.TrimLeft(name, ". "), ". ") // Windows drops what is at the end
	switch {
	case name == "":
		return "file"
	case reserved(name):
		return name + "_"
	}
	return name
}
