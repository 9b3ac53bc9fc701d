package durable

import (
	"errors"
	"io"
	"os"
)

// File is an open file of a Tree. It is a small value; copies share the file.
type File struct {
	tree *Tree
	name string
	d    descriptor
}

// Close closes the file, for all copies. It must be called exactly once.
func (f File) Close() error { return f.named("close", f.d.close()) }

// named adds the file's name to an error of the system.
func (f File) named(op string, err error) error {
	if _, named := errors.AsType[*os.PathError](err); named || err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return &os.PathError{Op: op, Path: f.name, Err: err}
}

// ReadAt reads len(p) bytes at offset off. If there are fewer, it returns them and
// io.EOF.
func (f File) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.d.readAt(p, off)
	return n, f.named("read", err)
}

// Write appends at the file's position. It is for small files in one piece.
func (f File) Write(p []byte) (int, error) {
	if err := f.tree.before(OpWrite, f.name); err != nil {
		return 0, err
	}
	n, err := f.d.write(p)
	return n, f.tree.after(OpWrite, f.name, f.named("write", err))
}

// WriteAt writes p at offset off. n counts what has been written, also when
// err is not nil.
func (f File) WriteAt(p []byte, off int64) (n int, err error) {
	if err := f.tree.before(OpWrite, f.name); err != nil {
		return 0, err
	}
	n, err = f.writeAt(p, off)
	if err = f.tree.after(OpWrite, f.name, f.named("write", err)); err != nil && n == len(p) {
		n = 0 // written, but the caller gets an error
	}
	return n, err
}

// CopyFrom appends up to n bytes of src at the file's position, inside the
// kernel where it can. It returns io.EOF if src has no more.
func (f File) CopyFrom(src *os.File, n int64) (int64, error) {
	if err := f.tree.before(OpCopy, f.name); err != nil {
		return 0, err
	}
	copied, err := f.d.copyFrom(f.name, src, n)
	if err == nil && copied == 0 && n > 0 {
		return 0, io.EOF
	}
	return copied, f.tree.after(OpCopy, f.name, f.named("copy", err))
}

// Info describes the file as it is now.
func (f File) Info() (Info, error) {
	info, err := f.d.stat()
	return info, f.named("stat", err)
}

// Truncate cuts the file, or makes it longer with zeros.
func (f File) Truncate(size int64) error {
	if err := f.tree.before(OpTruncate, f.name); err != nil {
		return err
	}
	return f.tree.after(OpTruncate, f.name, f.named("truncate", f.d.truncate(size)))
}

// Sync makes the bytes of the file, and its size, durable.
func (f File) Sync() error {
	if err := f.tree.before(OpSync, f.name); err != nil {
		return err
	}
	if !syncs {
		return f.tree.after(OpSync, f.name, nil)
	}
	syncThreads <- struct{}{}
	err := f.d.datasync()
	<-syncThreads
	return f.tree.after(OpSync, f.name, f.named("sync", err))
}

// syncThreads limits the syncs of files at the same time. Each blocks a thread, and a thread keeps
// 48 KiB of stacks for good; a process cannot have more than 10 000. Disks gain nothing from more
// syncs at a time.
var syncThreads = make(chan struct{}, 128)

// SyncShared is Sync for files with several users: callers that come while a sync of
// the same name runs share the next one.
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
	return f.named("sync range", ignoreUnsupported(f.d.startWriteBack(off, n)))
}

// WaitWriteBack waits until no bytes of a range are being written back. Where the
// system cannot do that, it syncs the file, and all is true. An error means the same
// as one of Sync: bytes may be lost.
func (f File) WaitWriteBack(off, n int64) (all bool, err error) {
	if err := f.tree.before(OpWriteBack, f.name); err != nil {
		return false, err
	}
	if !syncs {
		return true, nil
	}
	err = f.d.waitWriteBack(off, n)
	if all = errors.Is(err, errors.ErrUnsupported); all {
		err = f.d.datasync()
	}
	return all, f.tree.after(OpWriteBack, f.name, f.named("sync range", err))
}

func ignoreUnsupported(err error) error {
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}
