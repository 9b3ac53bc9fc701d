//go:build linux || darwin || freebsd

package filestore

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// spaceOf returns the space of dir's file system, without the blocks that are
// reserved for root.
func spaceOf(dir *os.File) (space, error) {
	var stat unix.Statfs_t
	err := unix.Fstatfs(int(dir.Fd()), &stat)
	runtime.KeepAlive(dir)
	if err != nil {
		return space{}, &os.PathError{Op: "fstatfs", Path: dir.Name(), Err: err}
	}
	block := int64(stat.Bsize)
	reserved := int64(stat.Bfree) - int64(stat.Bavail)
	return space{free: int64(stat.Bavail) * block, size: (int64(stat.Blocks) - reserved) * block}, nil
}

// isDiskFull returns false: package syscall has all such errors.
func isDiskFull(error) bool { return false }
