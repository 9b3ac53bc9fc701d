//go:build unix && !solaris && !aix

package filelocker

import (
	"errors"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// lockWholeFile locks f until it is closed, and reports whether it was free.
func lockWholeFile(f *os.File) (bool, error) {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	runtime.KeepAlive(f)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
