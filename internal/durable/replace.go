package durable

import (
	"crypto/rand"
	"errors"
	"os"
	"path"
	"strings"
	"syscall"
)

// Replacer replaces and creates whole files by way of a temporary file.
type Replacer struct {
	Tree   *Tree
	Dir    string // for temporary files; it must exist, on the same file system
	Prefix string // of their names
	Perm   os.FileMode
	Sync   bool // contents and names are durable before a call returns

	// Spares are used instead of new files, and kept by Remove. nil: none. A power cut may leave the
	// content of a spare under the new name: Usable says whether readers could tell. SpareSize is the
	// size up to which files are used again, in bytes.
	Spares    *Spares
	SpareSize int64
	Usable    func(content []byte) bool
}

// Replace puts content in the place of name: after a crash the file is the
// old or the new one. Without Sync a power cut may leave it empty.
func (r Replacer) Replace(name string, content []byte) error {
	temp, err := r.write(content)
	if err != nil {
		return err
	}
	if err := r.Tree.Rename(temp, name); err != nil {
		return errors.Join(err, r.drop(temp))
	}
	return r.syncName(name)
}

// CreateNew is Replace for a name that must not exist: otherwise its error matches os.ErrExist and
// nothing changes. It makes content and name durable at the same time, which takes half as long as
// one after the other. So a power cut before it returns, or an error, may leave the name with
// other bytes than content; with Spares, those of another name. Readers must be able to tell.
func (r Replacer) CreateNew(name string, content []byte) error {
	temp, f, err := r.writeUnsynced(content)
	if err != nil {
		return err
	}
	if err := r.Place(temp, name); err != nil {
		return errors.Join(err, f.Close(), r.drop(temp))
	}
	if !r.Sync {
		return f.Close()
	}
	named := make(chan error, 1)
	go func() { named <- r.syncName(name) }()
	err = f.Sync()
	return errors.Join(err, f.Close(), <-named)
}

// Place gives a temporary file the name, which must not exist: otherwise its error matches
// os.ErrExist. It does not sync.
func (r Replacer) Place(temp, name string) error {
	err := r.Tree.RenameNew(temp, name)
	if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if err = r.Tree.Link(temp, name); noLinks(err) {
		return r.Tree.renameAlone(temp, name)
	}
	if err == nil {
		err = r.drop(temp)
	}
	return err
}

func (r Replacer) syncName(name string) error {
	if !r.Sync {
		return nil
	}
	return r.SyncDir(path.Dir(name))
}

// temp returns a name for a temporary file.
func (r Replacer) temp() string { return r.Dir + "/" + r.Prefix + rand.Text() }

// write makes a temporary file.
func (r Replacer) write(content []byte) (temp string, err error) {
	temp, f, err := r.writeUnsynced(content)
	if err != nil {
		return "", err
	}
	if r.Sync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, r.drop(temp))
	}
	return temp, nil
}

// writeUnsynced makes a temporary file and leaves it open.
func (r Replacer) writeUnsynced(content []byte) (temp string, f File, err error) {
	temp, f, ok := r.openSpare(int64(len(content)))
	if !ok {
		temp = r.temp()
		if f, err = r.Tree.Create(temp, r.Perm); err != nil {
			return "", File{}, err
		}
	}
	if _, err = f.Write(content); err != nil {
		return "", File{}, errors.Join(err, f.Close(), r.drop(temp))
	}
	return temp, f, nil
}

// IsTempName reports whether name, without the Prefix, is like those of temporary files.
func IsTempName(name string) bool {
	return len(name) == len(rand.Text()) && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// drop removes a temporary file. It may be gone already: a rename whose answer was
// lost has taken it.
func (r Replacer) drop(temp string) error {
	err := r.Tree.Remove(temp)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// noLinks reports whether err means that the file system has no hard links.
func noLinks(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EPERM)
}

// renameAlone is RenameNew that excludes only callers of this process, as file systems without
// links allow no more.
func (t *Tree) renameAlone(from, to string) error {
	t.renames.Lock()
	defer t.renames.Unlock()
	if _, err := t.Lstat(to); err == nil {
		return &os.PathError{Op: "rename", Path: to, Err: os.ErrExist}
	}
	return t.Rename(from, to)
}
