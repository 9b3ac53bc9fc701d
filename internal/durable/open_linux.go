package durable

import (
	"errors"
	"os"
	"path"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// directory is the top of a tree, for system calls that are relative to it.
type directory struct {
	mu     sync.RWMutex // held for reading during calls: afterwards the number may be another file's
	f      *os.File
	closed bool
}

func openDirectory(root *os.Root) (*directory, error) {
	f, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	return &directory{f: f}, nil
}

func (d *directory) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	return d.f.Close()
}

// call makes a system call relative to d, and repeats it after signals.
func (d *directory) call(op, name string, call func(dir int) error) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.closed {
		return &os.PathError{Op: op, Path: name, Err: os.ErrClosed}
	}
	dir := int(d.f.Fd())
	if err := again(func() error { return call(dir) }); err != nil {
		return &os.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

// isEntry reports whether name is an entry of the directory in which it is looked up,
// or that directory.
func isEntry(name string) bool {
	return name != "" && name != ".." && !strings.Contains(name, "/")
}

// open opens name, whose last part must not be a link. An entry of the top directory
// cannot lead out of the tree. For deeper names openat2 ensures that links on the path do
// not, or os.Root if openat2 is not available.
func (t *Tree) open(name string, flag int, perm os.FileMode) (d descriptor, err error) {
	flag |= unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_LARGEFILE
	err = t.top.call("openat", name, func(dir int) (err error) {
		fd := -1
		if isEntry(name) {
			fd, err = unix.Openat(dir, name, flag, uint32(perm.Perm()))
		} else {
			fd, err = unix.Openat2(dir, name, &unix.OpenHow{
				Flags: uint64(flag), Mode: uint64(perm.Perm()),
				Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS,
			})
		}
		d = descriptor(fd)
		return err
	})
	if isEntry(name) || !kernelCannot(err) {
		return d, err
	}
	return t.openInRoot(name, flag, perm)
}

// kernelCannot reports whether openat2 is missing, forbidden (seccomp), or has met a
// rename in the path.
func kernelCannot(err error) bool {
	for _, e := range []error{unix.ENOSYS, unix.EPERM, unix.EINVAL, unix.E2BIG, unix.EAGAIN} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (t *Tree) openInRoot(name string, flag int, perm os.FileMode) (descriptor, error) {
	f, err := t.root.OpenFile(name, flag, perm)
	if err != nil {
		return -1, err
	}
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "dup", Path: name, Err: err}
	}
	return descriptor(fd), nil
}

// openRegular opens name for reading and describes it. It does not wait for
// the other end of a pipe.
func (t *Tree) openRegular(name string) (descriptor, Info, error) {
	d, err := t.open(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) { // a link, a socket
		return -1, Info{}, &os.PathError{Op: "openat", Path: name, Err: ErrIrregular}
	}
	if err != nil {
		return -1, Info{}, err
	}
	info, err := d.stat()
	if err == nil && !info.Mode.IsRegular() {
		err = ErrIrregular
	}
	if err != nil {
		d.close()
		return -1, Info{}, &os.PathError{Op: "stat", Path: name, Err: err}
	}
	return d, info, nil
}

// openFile opens a file or directory for reading with package os.
func (t *Tree) openFile(name string) (*os.File, error) {
	d, err := t.open(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(d), name), nil
}

func (t *Tree) lstat(name string) (Info, error) {
	if !isEntry(name) {
		return t.lstatInRoot(name)
	}
	var stat unix.Stat_t
	err := t.top.call("lstat", name, func(dir int) error {
		return unix.Fstatat(dir, name, &stat, unix.AT_SYMLINK_NOFOLLOW)
	})
	return infoOf(&stat), err
}

func (t *Tree) lstatInRoot(name string) (Info, error) {
	stat, err := t.root.Lstat(name)
	if err != nil {
		return Info{}, err
	}
	return Info{Mode: stat.Mode(), Size: stat.Size(), Modified: stat.ModTime()}, nil
}

// renameNew works inside directories below the top.
func (t *Tree) renameNew(from, to string) error {
	if isEntry(from) || isEntry(to) {
		return errors.ErrUnsupported
	}
	source, err := t.openParent(from)
	if err != nil {
		return err
	}
	defer unix.Close(source)
	target, err := t.openParent(to)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	err = again(func() error {
		return unix.Renameat2(source, path.Base(from), target, path.Base(to), unix.RENAME_NOREPLACE)
	})
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM): // seccomp
		return errors.ErrUnsupported
	case err != nil:
		return &os.PathError{Op: "rename", Path: to, Err: err}
	}
	return nil
}

// openParent opens the directory of name, to be used in other calls.
func (t *Tree) openParent(name string) (fd int, err error) {
	err = t.top.call("openat", name, func(dir int) (err error) {
		fd, err = unix.Openat2(dir, path.Dir(name), &unix.OpenHow{
			Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
			Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS,
		})
		return err
	})
	if kernelCannot(err) {
		err = errors.ErrUnsupported
	}
	return fd, err
}

// fsyncDir makes the names in a directory durable.
func (t *Tree) fsyncDir(name string) error {
	if name == "." {
		return t.top.call("fsync", name, unix.Fsync)
	}
	d, err := t.open(name, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer d.close()
	if err := again(func() error { return unix.Fsync(int(d)) }); err != nil {
		return &os.PathError{Op: "fsync", Path: name, Err: err}
	}
	return nil
}
