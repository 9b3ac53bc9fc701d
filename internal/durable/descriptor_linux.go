package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// descriptor is the number of an open file. An *os.File would cost five more system
// calls, which check whether the file can be polled. Files on disks cannot.
type descriptor int

// close must be called once: the number belongs to another file afterwards.
func (d descriptor) close() error { return unix.Close(int(d)) } // never again, not even after EINTR

func (d descriptor) stat() (Info, error) {
	var stat unix.Stat_t
	err := again(func() error { return unix.Fstat(int(d), &stat) })
	return infoOf(&stat), err
}

func (d descriptor) readAt(p []byte, off int64) (n int, err error) {
	return whole(p, func(rest []byte, done int) (int, error) { return unix.Pread(int(d), rest, off+int64(done)) })
}

func (d descriptor) write(p []byte) (n int, err error) {
	return whole(p, func(rest []byte, _ int) (int, error) { return unix.Write(int(d), rest) })
}

func (d descriptor) writeAt(p []byte, off int64) (n int, err error) {
	return whole(p, func(rest []byte, done int) (int, error) { return unix.Pwrite(int(d), rest, off+int64(done)) })
}

func (d descriptor) truncate(size int64) error {
	return again(func() error { return unix.Ftruncate(int(d), size) })
}

// copyFrom appends up to n bytes of src at the file's position. Package os
// knows which file systems can do that inside the kernel.
func (d descriptor) copyFrom(name string, src *os.File, n int64) (int64, error) {
	twin, err := unix.FcntlInt(uintptr(d), unix.F_DUPFD_CLOEXEC, 0) // has the same position
	if err != nil {
		return 0, err
	}
	f := os.NewFile(uintptr(twin), name)
	defer f.Close()
	return f.ReadFrom(&io.LimitedReader{R: src, N: n})
}

// whole calls move for the rest of p, until nothing is left or move fails. If it moves
// nothing, whole returns io.EOF.
func whole(p []byte, move func(rest []byte, done int) (int, error)) (n int, err error) {
	for n < len(p) {
		m, err := move(p[n:], n)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return n, err
		case m == 0:
			return n, io.EOF
		default:
			n += m
		}
	}
	return n, nil
}

// again repeats a system call that a signal has interrupted.
func again(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func infoOf(stat *unix.Stat_t) Info {
	seconds, nanoseconds := stat.Ctim.Unix()
	return Info{
		Mode: modeOf(uint32(stat.Mode)), Size: stat.Size, Modified: time.Unix(stat.Mtim.Unix()),
		Stamp: Stamp{uint64(stat.Ino), seconds, nanoseconds},
	}
}

func modeOf(mode uint32) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return m
	case unix.S_IFDIR:
		return m | fs.ModeDir
	case unix.S_IFLNK:
		return m | fs.ModeSymlink
	case unix.S_IFIFO:
		return m | fs.ModeNamedPipe
	case unix.S_IFSOCK:
		return m | fs.ModeSocket
	}
	return m | fs.ModeDevice
}
