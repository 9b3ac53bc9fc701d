package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// File is an open file of a Tree. It is a small value; copies share the file.
type File struct {
	tree *Tree
	name string
	f    *os.File
}

// OS is the file itself, for reading and serving it.
func (f File) OS() *os.File { return f.f }

// Close closes the file.
func (f File) Close() error { return f.f.Close() }

// Stat describes the open file.
func (f File) Stat() (fs.FileInfo, error) { return f.f.Stat() }

// Write appends at the file's position: for small files in one piece.
func (f File) Write(p []byte) (int, error) {
	if err := f.tree.before(OpWrite, f.name); err != nil {
		return 0, err
	}
	n, err := f.f.Write(p)
	return n, f.tree.after(OpWrite, f.name, err)
}

// WriteAt writes p at offset off. n counts what has been written, also when
// err is not nil.
func (f File) WriteAt(p []byte, off int64) (n int, err error) {
	if err := f.tree.before(OpWrite, f.name); err != nil {
		return 0, err
	}
	n, err = writeAt(f.f, p, off)
	if err = f.tree.after(OpWrite, f.name, err); err != nil && n == len(p) {
		n = 0 // done, but nobody learns of it
	}
	return n, err
}

// CopyFrom appends up to n bytes of src at the file's position, inside the
// kernel where it can. It returns io.EOF if src has no more.
func (f File) CopyFrom(src *os.File, n int64) (int64, error) {
	if err := f.tree.before(OpCopy, f.name); err != nil {
		return 0, err
	}
	copied, err := f.f.ReadFrom(&io.LimitedReader{R: src, N: n})
	if err == nil && copied == 0 && n > 0 {
		return 0, io.EOF
	}
	return copied, f.tree.after(OpCopy, f.name, err)
}

// Truncate cuts the file, or grows it with zeros.
func (f File) Truncate(size int64) error {
	if err := f.tree.before(OpTruncate, f.name); err != nil {
		return err
	}
	return f.tree.after(OpTruncate, f.name, f.f.Truncate(size))
}

// Sync makes the bytes of the file, and its size, durable.
func (f File) Sync() error {
	if err := f.tree.before(OpSync, f.name); err != nil {
		return err
	}
	if !syncs {
		return f.tree.after(OpSync, f.name, nil)
	}
	return f.tree.after(OpSync, f.name, datasync(f.f))
}

// SyncShared is Sync for callers that are not the file's only user: those
// that arrive while a sync of the same name runs share the next one.
func (f File) SyncShared() error { return f.tree.data.do(f.name, f.Sync) }

// StartWriteBack asks the kernel to begin writing a range to the disk and
// does not wait. It promises nothing; it makes a later Sync short.
func (f File) StartWriteBack(off, n int64) error {
	if err := f.tree.before(OpWriteBack, f.name); err != nil {
		return err
	}
	if !syncs {
		return nil
	}
	return ignoreUnsupported(startWriteBack(f.f, off, n))
}

// WaitWriteBack waits until nothing of a range is on its way to the disk any
// more. Where the system cannot do that it syncs the file, and all is true.
// An error means what one of Sync means: bytes may be lost.
func (f File) WaitWriteBack(off, n int64) (all bool, err error) {
	if err := f.tree.before(OpWriteBack, f.name); err != nil {
		return false, err
	}
	if !syncs {
		return true, nil
	}
	err = waitWriteBack(f.f, off, n)
	if all = errors.Is(err, errors.ErrUnsupported); all {
		err = datasync(f.f)
	}
	return all, f.tree.after(OpWriteBack, f.name, err)
}

func ignoreUnsupported(err error) error {
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}
