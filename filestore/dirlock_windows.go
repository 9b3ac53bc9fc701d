package filestore

import (
	"errors"
	"os"
	"runtime"

	"golang.org/x/sys/windows"
)

// locksBytes reports whether single bytes can be locked.
const locksBytes = true

// tryLock locks the first byte of f until f is closed, and reports whether it was
// free.
func tryLock(f *os.File, exclusive bool) (bool, error) { return tryLockByte(f, 0, exclusive) }

// tryLockByte locks a byte, also behind the end of the file.
func tryLockByte(f *os.File, number int64, exclusive bool) (bool, error) {
	flags := uint32(windows.LOCKFILE_FAIL_IMMEDIATELY)
	if exclusive {
		flags |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, at(number))
	runtime.KeepAlive(f)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}

// isByteFree reports whether no open file has a lock on a byte.
func isByteFree(f *os.File, number int64) (bool, error) {
	free, err := tryLockByte(f, number, true)
	if !free || err != nil {
		return false, err
	}
	err = windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, at(number))
	runtime.KeepAlive(f)
	return true, err
}

func at(number int64) *windows.Overlapped {
	return &windows.Overlapped{Offset: uint32(number), OffsetHigh: uint32(number >> 32)}
}

// isUnlocked reports whether no other open file has a lock on f. Until f is closed it may
// have one itself.
func isUnlocked(f *os.File) (bool, error) { return tryLock(f, true) }
