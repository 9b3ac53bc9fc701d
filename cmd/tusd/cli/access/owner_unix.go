//go:build unix

package access

import (
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// Owner returns the owner of a file.
func Owner(info fs.FileInfo) (User, bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return User{-1, -1}, false
	}
	return User{int(stat.Uid), int(stat.Gid)}, true
}

// CanRead returns nil if this user may read the file at path.
func CanRead(path string) error { return can(path, unix.R_OK) }

// CanUse returns nil if this user may list the directory at path, and create and
// remove files in it.
func CanUse(path string) error { return can(path, unix.R_OK|unix.W_OK|unix.X_OK) }

func can(path string, mode uint32) error {
	if err := unix.Faccessat(unix.AT_FDCWD, path, mode, unix.AT_EACCESS); err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return nil
}
