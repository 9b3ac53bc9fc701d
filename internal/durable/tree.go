// Package durable changes files with a defined state after a crash: creation, positional
// writes, replacement and removal inside one confined directory tree, and syncs that
// concurrent callers share.
//
// Every operation that changes the tree or makes it durable calls a Hook, so that a
// test can let the first, second, third ... of them fail.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"sync"
	"time"
)

// Op names an operation for a Hook.
type Op string

// The operations.
const (
	OpCreate    Op = "create"
	OpOpen      Op = "open"
	OpMkdir     Op = "mkdir"
	OpWrite     Op = "write"
	OpCopy      Op = "copy"
	OpTruncate  Op = "truncate"
	OpSync      Op = "sync"
	OpWriteBack Op = "write-back"
	OpSyncDir   Op = "sync directory"
	OpRename    Op = "rename"
	OpLink      Op = "link"
	OpRemove    Op = "remove"
)

// Hook is called before an operation on a name (done false) and again after it has
// succeeded (done true). An error makes the operation fail: the first time nothing has
// happened, the second time it has happened, but the caller gets an error.
type Hook func(op Op, name string, done bool) error

// ErrIrregular means that a file is not regular: it is a directory, a link, a pipe ...
var ErrIrregular = errors.New("it is no regular file")

// Info describes a file.
type Info struct {
	Mode     fs.FileMode
	Size     int64 // in bytes
	Modified time.Time
	Stamp    Stamp
}

// Stamp is a value that a file system changes when a file is changed or replaced. Two
// changes within some milliseconds may leave it the same. The zero value means that
// the system has none.
type Stamp struct {
	inode                uint64
	seconds, nanoseconds int64 // of the last change of contents or attributes
}

// Tree is a directory tree; no name leads out of it. It is safe for concurrent use.
// Names use slashes. Open never follows a link in the last part of a name.
type Tree struct {
	root *os.Root
	top  *directory
	hook Hook
	dirs group
	data group

	creates sync.Mutex
	renames sync.Mutex // in place of links, where there are none
}

// NewTree returns the tree below root, which it owns from now on, also after an error.
// hook is for tests; otherwise it is nil.
func NewTree(root *os.Root, hook Hook) (*Tree, error) {
	top, err := openDirectory(root)
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &Tree{root: root, top: top, hook: hook}, nil
}

// Close closes the root. Open files stay usable.
func (t *Tree) Close() error { return errors.Join(t.top.close(), t.root.Close()) }

// before calls the hook before an operation.
func (t *Tree) before(op Op, name string) error {
	if t.hook == nil {
		return nil
	}
	return t.hook(op, name, false)
}

// after calls the hook after an operation that ended with err.
func (t *Tree) after(op Op, name string, err error) error {
	if t.hook == nil || err != nil {
		return err
	}
	return t.hook(op, name, true)
}

// Create makes a file that must not exist, for writing.
func (t *Tree) Create(name string, perm os.FileMode) (File, error) {
	if err := t.before(OpCreate, name); err != nil {
		return File{}, err
	}
	d, err := t.create(name, perm)
	if err != nil {
		return File{}, err
	}
	if err := t.after(OpCreate, name, nil); err != nil {
		d.close()
		return File{}, err
	}
	return File{tree: t, name: name, d: d}, nil
}

// create serialises creations in the top directory. The kernel would do so with a lock
// that spins.
func (t *Tree) create(name string, perm os.FileMode) (descriptor, error) {
	if path.Dir(name) == "." {
		t.creates.Lock()
		defer t.creates.Unlock()
	}
	return t.open(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
}

// Open opens an existing file for reading and writing.
func (t *Tree) Open(name string) (File, error) {
	if err := t.before(OpOpen, name); err != nil {
		return File{}, err
	}
	d, err := t.open(name, os.O_RDWR, 0)
	if err != nil {
		return File{}, err
	}
	return File{tree: t, name: name, d: d}, nil
}

// OpenRegular opens a file for reading and describes it. It returns ErrIrregular for
// other files, and never blocks on one.
func (t *Tree) OpenRegular(name string) (File, Info, error) {
	if err := t.before(OpOpen, name); err != nil {
		return File{}, Info{}, err
	}
	d, info, err := t.openRegular(name)
	if err != nil {
		return File{}, Info{}, err
	}
	return File{tree: t, name: name, d: d}, info, nil
}

// OpenOS opens a file for serving it, or a directory for listing it.
func (t *Tree) OpenOS(name string) (*os.File, error) {
	if err := t.before(OpOpen, name); err != nil {
		return nil, err
	}
	return t.openFile(name)
}

// Lstat describes name without following a link.
func (t *Tree) Lstat(name string) (Info, error) { return t.lstat(name) }

// Mkdir makes one directory. An existing one, or one that has just been removed, is no
// error; made is false then.
func (t *Tree) Mkdir(name string, perm os.FileMode) (made bool, err error) {
	if err := t.before(OpMkdir, name); err != nil {
		return false, err
	}
	err = t.root.Mkdir(name, perm)
	if os.IsExist(err) {
		info, statErr := t.root.Stat(name)
		if os.IsNotExist(statErr) || statErr == nil && info.IsDir() {
			return false, nil
		}
	}
	if err = t.after(OpMkdir, name, err); err != nil {
		return false, err
	}
	return true, nil
}

// Remove removes a file or an empty directory.
func (t *Tree) Remove(name string) error {
	if err := t.before(OpRemove, name); err != nil {
		return err
	}
	return t.after(OpRemove, name, t.root.Remove(name))
}

// Rename renames from to to, and replaces to.
func (t *Tree) Rename(from, to string) error {
	if err := t.before(OpRename, to); err != nil {
		return err
	}
	return t.after(OpRename, to, t.root.Rename(from, to))
}

// RenameNew renames from to to, which must not exist. Its error matches errors.ErrUnsupported where
// the system or the file system cannot do that.
func (t *Tree) RenameNew(from, to string) error {
	if err := t.before(OpRename, to); err != nil {
		return err
	}
	return t.after(OpRename, to, t.renameNew(from, to))
}

// Link gives the file from a second name to, which must not exist.
func (t *Tree) Link(from, to string) error {
	if err := t.before(OpLink, to); err != nil {
		return err
	}
	return t.after(OpLink, to, t.root.Link(from, to))
}

// SyncDir makes the names in a directory durable: those that were created,
// renamed or removed before the call. Concurrent calls share a sync.
func (t *Tree) SyncDir(name string) error {
	return t.dirs.do(name, func() error { return t.syncDir(name) })
}

// SyncParent is SyncDir of the directory that name is in.
func (t *Tree) SyncParent(name string) error { return t.SyncDir(path.Dir(name)) }

func (t *Tree) syncDir(name string) error {
	if err := t.before(OpSyncDir, name); err != nil {
		return err
	}
	if !syncs || !directoriesSync {
		return t.after(OpSyncDir, name, nil)
	}
	return t.after(OpSyncDir, name, t.fsyncDir(name))
}

// SyncDirectory makes the names in a directory outside of any tree durable.
func SyncDirectory(path string) error {
	if !syncs || !directoriesSync {
		return nil
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
