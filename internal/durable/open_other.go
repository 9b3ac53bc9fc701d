//go:build !linux

package durable

import (
	"errors"
	"os"
)

// directory is needed only where system calls are made relative to it.
type directory struct{}

func openDirectory(*os.Root) (*directory, error) { return &directory{}, nil }
func (*directory) close() error                  { return nil }

func (t *Tree) open(name string, flag int, perm os.FileMode) (descriptor, error) {
	f, err := t.root.OpenFile(name, flag, perm)
	return descriptor{f}, err
}

// openRegular opens name for reading and describes it. It never blocks.
func (t *Tree) openRegular(name string) (descriptor, Info, error) {
	info, err := t.lstat(name)
	if err == nil && !info.Mode.IsRegular() {
		err = &os.PathError{Op: "lstat", Path: name, Err: ErrIrregular}
	}
	if err != nil {
		return descriptor{}, Info{}, err
	}
	d, err := t.open(name, os.O_RDONLY, 0)
	return d, info, err
}

// openFile opens a file or directory for reading with package os.
func (t *Tree) openFile(name string) (*os.File, error) { return t.root.Open(name) }

func (t *Tree) lstat(name string) (Info, error) {
	stat, err := t.root.Lstat(name)
	if err != nil {
		return Info{}, err
	}
	return infoOf(stat), nil
}

// fsyncDir makes the names in a directory durable.
func (t *Tree) fsyncDir(name string) error {
	dir, err := t.root.Open(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

func (t *Tree) renameNew(from, to string) error { return errors.ErrUnsupported }
