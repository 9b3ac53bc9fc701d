package filestore

import (
	"errors"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// locksBytes reports whether single bytes can be locked.
const locksBytes = true

// tryLock locks the first byte of f until f is closed, and reports whether it was
// free.
func tryLock(f *os.File, exclusive bool) (bool, error) { return tryLockByte(f, 0, exclusive) }

// tryLockByte locks a byte, also behind the end of the file. The lock is an
// open-file-description lock: it also excludes a second store of this process, and
// the system releases it when the process ends.
func tryLockByte(f *os.File, number int64, exclusive bool) (bool, error) {
	lock := unix.Flock_t{Type: unix.F_RDLCK, Whence: io.SeekStart, Start: number, Len: 1}
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

// isByteFree reports whether no other open file has a lock on a byte.
func isByteFree(f *os.File, number int64) (bool, error) {
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: number, Len: 1}
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock)
	runtime.KeepAlive(f)
	return lock.Type == unix.F_UNLCK, err
}

// isUnlocked reports whether no other open file has a lock of flock or of fcntl on f. Until
// f is closed it may have one itself.
func isUnlocked(f *os.File) (bool, error) {
	defer runtime.KeepAlive(f)
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	err = unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock)
	return lock.Type == unix.F_UNLCK, err
}
