//go:build unix && !linux && !solaris && !aix

package filestore

import (
	"errors"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// locksBytes reports whether single bytes can be locked.
const locksBytes = false

func tryLockByte(*os.File, int64, bool) (bool, error) { return false, errors.ErrUnsupported }

func isByteFree(*os.File, int64) (bool, error) { return false, errors.ErrUnsupported }

// tryLock locks f until it is closed, and reports whether it was free.
func tryLock(f *os.File, exclusive bool) (bool, error) {
	how := unix.LOCK_SH
	if exclusive {
		how = unix.LOCK_EX
	}
	err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
	runtime.KeepAlive(f)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// isUnlocked reports whether no other open file has a lock on f. Until f is closed it may
// have one itself.
func isUnlocked(f *os.File) (bool, error) { return tryLock(f, true) }
