//go:build !linux && !darwin && !freebsd && !windows

package filestore

import (
	"math"
	"os"
)

// spaceOf returns no limit: the space is not known on this system. A write to a full disk
// fails.
func spaceOf(*os.File) (space, error) { return space{math.MaxInt64, math.MaxInt64}, nil }

// isDiskFull returns false: package syscall has all such errors.
func isDiskFull(error) bool { return false }
