//go:build !linux

package durable

import (
	"errors"
	"os"
	"runtime"
)

// directoriesSync tells whether a directory can be synced. Windows cannot;
// NTFS journals names by itself.
const directoriesSync = runtime.GOOS != "windows"

// datasync makes data and size of f durable (F_FULLFSYNC on darwin).
func datasync(f *os.File) error { return f.Sync() }

// startWriteBack and waitWriteBack have no equal here: the caller syncs.
func startWriteBack(*os.File, int64, int64) error { return errors.ErrUnsupported }
func waitWriteBack(*os.File, int64, int64) error  { return errors.ErrUnsupported }
