package filestore

import (
	"errors"
	"math"
	"os"

	"golang.org/x/sys/windows"
)

// spaceOf returns the space of dir's volume that this user may use.
func spaceOf(dir *os.File) (space, error) {
	name, err := windows.UTF16PtrFromString(dir.Name())
	if err != nil {
		return space{}, err
	}
	var free, size uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, &size, nil); err != nil {
		return space{}, &os.PathError{Op: "GetDiskFreeSpaceEx", Path: dir.Name(), Err: err}
	}
	return space{free: int64(min(free, math.MaxInt64)), size: int64(min(size, math.MaxInt64))}, nil
}

// isDiskFull reports whether err is one of Windows' equivalents of ENOSPC.
func isDiskFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL)
}
