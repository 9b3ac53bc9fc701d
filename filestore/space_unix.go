//go:build linux || darwin || freebsd

package filestore

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// freeSpace is what an ordinary user may still write to dir's file system, in
// bytes.
func freeSpace(dir *os.File) (int64, error) {
	var stat unix.Statfs_t
	err := unix.Fstatfs(int(dir.Fd()), &stat)
	runtime.KeepAlive(dir)
	if err != nil {
		return 0, &os.PathError{Op: "fstatfs", Path: dir.Name(), Err: err}
	}
	return int64(stat.Bavail) * int64(stat.Bsize), nil
}

// diskFull finds nothing that the errors of package syscall do not cover.
func diskFull(error) bool { return false }
