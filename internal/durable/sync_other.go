//go:build !linux

package durable

import (
	"errors"
	"runtime"
)

// directoriesSync reports whether a directory can be synced. Windows cannot;
// NTFS journals names by itself.
const directoriesSync = runtime.GOOS != "windows"

// datasync makes data and size durable (F_FULLFSYNC on darwin).
func (d descriptor) datasync() error { return d.f.Sync() }

// startWriteBack and waitWriteBack do not exist here: the caller syncs.
func (d descriptor) startWriteBack(int64, int64) error { return errors.ErrUnsupported }
func (d descriptor) waitWriteBack(int64, int64) error  { return errors.ErrUnsupported }
