//go:build !linux && !darwin && !freebsd && !windows

package filestore

import (
	"math"
	"os"
)

// freeSpace is not asked for here: a full disk shows when it is written to.
func freeSpace(*os.File) (int64, error) { return math.MaxInt64, nil }

func diskFull(error) bool { return false }
