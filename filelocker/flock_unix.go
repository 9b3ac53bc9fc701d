//go:build unix && !solaris && !aix

package filelocker

import (
	"errors"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// lockFile locks f until it is closed, and tells whether it was free.
func lockFile(f *os.File) (bool, error) {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	runtime.KeepAlive(f)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
