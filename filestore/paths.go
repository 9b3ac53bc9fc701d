package filestore

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/tus/tusd/internal/datakey"
	"github.com/tus/tusd/internal/durable"
)

// treePath is the path of a file: its name in one of the confined trees.
type treePath struct {
	tree *durable.Tree
	base string // absolute path of the tree
	name string // with slashes, clean
}

// path returns the absolute path, for records and messages.
func (p treePath) path() string {
	const separator = string(filepath.Separator)
	return strings.TrimSuffix(p.base, separator) + separator + filepath.FromSlash(p.name)
}

// storageRoot is a further directory for data files.
type storageRoot struct {
	tree    *durable.Tree
	path    string
	aliases []string
	dirFile *os.File
}

func (r storageRoot) close() error { return errors.Join(r.dirFile.Close(), r.tree.Close()) }

func (v *volume) openStorageRoot(dir string, hook durable.Hook) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(abs)
	if err != nil {
		return fmt.Errorf("storage root: %w", err)
	}
	dirFile, err := root.Open(".")
	if err != nil {
		return errors.Join(fmt.Errorf("storage root: %w", err), root.Close())
	}
	tree, err := durable.NewTree(root, hook)
	if err != nil {
		return errors.Join(fmt.Errorf("storage root: %w", err), dirFile.Close())
	}
	v.roots = append(v.roots, storageRoot{tree: tree, path: abs, aliases: aliases(abs), dirFile: dirFile})
	return nil
}

// aliases returns the absolute paths of the directory abs. Records that another
// program wrote may have a path without its symbolic links.
func aliases(abs string) []string {
	if real, err := filepath.EvalSymlinks(abs); err == nil && real != abs {
		return []string{abs, real}
	}
	return []string{abs}
}

// file returns the path of a file of the upload directory.
func (v *volume) file(name string) treePath { return treePath{tree: v.tree, base: v.path, name: name} }

const recordSuffix = ".info"

// record and undo return the paths of the files beside the data. They depend on the
// id only, also if the data is elsewhere.
func (v *volume) record(id string) treePath { return v.file(id + recordSuffix) }
func (v *volume) undo(id string) treePath   { return v.file(id + ".undo") }

// oldFile returns the path of the data of an upload of tusd 0.x, whose record has no
// Storage.Path.
func (v *volume) oldFile(id string) treePath { return v.file(id + ".bin") }

// mayBeOld reports whether an upload has no default data file, and its data may be oldFile.
func (v *volume) mayBeOld(id string) bool {
	return v.isFree(v.file(id)) && v.isFree(v.record(v.oldFile(id).name))
}

// errLinked means that a directory in the path of an upload is a symbolic link.
var errLinked = errors.New("a directory in its path is a symbolic link")

// checkNoLinks refuses an id whose path has a symbolic link to a directory: one
// upload would have several ids, and several locks.
func (v *volume) checkNoLinks(id string) error {
	for i := range len(id) { // from the top: names behind a link cannot be looked at
		if id[i] != '/' {
			continue
		}
		stat, err := v.tree.Lstat(id[:i])
		switch {
		case isAbsent(err):
			return nil
		case err != nil:
			return err
		case stat.Mode&os.ModeSymlink != 0:
			return errLinked
		}
	}
	return nil
}

// errStoragePath means that data is not allowed at this path. For a stored record it
// is an error of the configuration: the request is not wrong, and the upload is not
// gone.
var errStoragePath = errors.New("Storage.Path is not allowed")

// data returns the path of an upload's data, from Storage.Path of its record or of a
// callback.
func (v *volume) data(id, storagePath string) (treePath, error) {
	if storagePath == "" {
		return v.file(id), nil
	}
	if !filepath.IsAbs(storagePath) {
		return v.dataBelow(storagePath)
	}
	for _, alias := range v.aliases {
		if name, ok := below(alias, storagePath); ok {
			return v.dataBelow(name)
		}
	}
	for _, r := range v.roots {
		for _, alias := range r.aliases {
			if name, ok := below(alias, storagePath); ok {
				return treePath{tree: r.tree, base: r.path, name: name}, nil
			}
		}
	}
	if strings.HasSuffix(filepath.ToSlash(storagePath), "/"+id) {
		return v.file(id), nil // the directory has moved since the record was written
	}
	return treePath{}, fmt.Errorf("%w: %s is outside of the upload directory and of every storage root", errStoragePath, storagePath)
}

// storedData is data for a record that was read. Programs that embedded tusd v2
// could write paths relative to their working directory. If there is no such file
// and its name is the id, the default data file is meant.
func (v *volume) storedData(id, storagePath string) (treePath, error) {
	data, err := v.data(id, storagePath)
	stale := !filepath.IsAbs(storagePath) && strings.HasSuffix("/"+filepath.ToSlash(storagePath), "/"+id)
	if stale && (err != nil || data != v.file(id) && v.isFree(data)) {
		return v.file(id), nil
	}
	return data, err
}

// dataBelow returns the path of a data file in the upload directory. Its name must
// not be reserved.
func (v *volume) dataBelow(name string) (treePath, error) {
	name = path.Clean(filepath.ToSlash(name))
	if !filepath.IsLocal(filepath.FromSlash(name)) || name == "." {
		return treePath{}, fmt.Errorf("%w: %s leaves the upload directory", errStoragePath, name)
	}
	for segment := range strings.SplitSeq(name, "/") {
		if datakey.Reserved(segment) {
			return treePath{}, fmt.Errorf("%w: %s is a name that the store uses itself", errStoragePath, name)
		}
	}
	return v.file(name), nil
}

// below returns the name of an absolute path within dir.
func below(dir, abs string) (name string, ok bool) {
	rel, err := filepath.Rel(dir, abs)
	if err != nil || rel == "." || !filepath.IsLocal(rel) {
		return "", false
	}
	return filepath.ToSlash(rel), true
}

// isFree reports whether no file has the name of p. If that cannot be known, it
// returns false.
func (v *volume) isFree(p treePath) bool {
	_, err := p.tree.Lstat(p.name)
	return isAbsent(err)
}

// statRegular describes a file that may be an upload's data.
func statRegular(p treePath) (durable.Info, error) {
	stat, err := p.tree.Lstat(p.name)
	if err != nil {
		return durable.Info{}, err
	}
	if !stat.Mode.IsRegular() {
		return durable.Info{}, broken(p.path(), "%w (%s)", durable.ErrIrregular, stat.Mode)
	}
	if stat.Size > maxSize {
		return durable.Info{}, broken(p.path(), "it has %d bytes", stat.Size)
	}
	return stat, nil
}

// isDefaultStorage reports whether storage is that of an upload whose data has its
// id as the name, as most have. It saves splitting and building paths, which is the
// most expensive part of a load.
func (v *volume) isDefaultStorage(id string, storage map[string]string) bool {
	return filepath.Separator == '/' && len(storage) == 3 && storage["Type"] == "filestore" &&
		v.isPathOf(storage["Path"], id, "") && v.isPathOf(storage["InfoPath"], id, recordSuffix)
}

// isPathOf reports whether path is that of id+suffix in the upload directory.
func (v *volume) isPathOf(path, id, suffix string) bool {
	name, ok := strings.CutPrefix(path, v.path)
	return ok && len(name) == 1+len(id)+len(suffix) && name[0] == '/' && name[1:1+len(id)] == id && strings.HasSuffix(name, suffix)
}

// storage returns the Storage field of a record.
func (v *volume) storage(id string, data treePath) map[string]string {
	return map[string]string{"Type": "filestore", "Path": data.path(), "InfoPath": v.record(id).path()}
}
