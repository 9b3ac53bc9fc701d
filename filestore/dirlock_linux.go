package filestore

import (
	"errors"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// tryLock locks the first byte of f until f is closed, and tells whether it
// was free. An open-file-description lock: it also excludes a second store of
// this process, and it goes with its holder, however that ends.
func tryLock(f *os.File, exclusive bool) (bool, error) {
	lock := unix.Flock_t{Type: unix.F_RDLCK, Whence: io.SeekStart, Start: 0, Len: 1}
	if exclusive {
		lock.Type = unix.F_WRLCK
	}
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock)
	runtime.KeepAlive(f)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return false, nil
	}
	return err == nil, err
}
