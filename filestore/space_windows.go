package filestore

import (
	"errors"
	"math"
	"os"

	"golang.org/x/sys/windows"
)

// freeSpace is what this user may still write to dir's volume, in bytes.
func freeSpace(dir *os.File) (int64, error) {
	name, err := windows.UTF16PtrFromString(dir.Name())
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, nil, nil); err != nil {
		return 0, &os.PathError{Op: "GetDiskFreeSpaceEx", Path: dir.Name(), Err: err}
	}
	return int64(min(free, math.MaxInt64)), nil
}

// diskFull recognises what Windows says in place of ENOSPC.
func diskFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL)
}
