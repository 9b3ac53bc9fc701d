package durable

import (
	"errors"

	"golang.org/x/sys/unix"
)

// directoriesSync reports whether a directory can be synced.
const directoriesSync = true

// datasync makes data and size durable.
func (d descriptor) datasync() error {
	return again(func() error { return unix.Fdatasync(int(d)) })
}

// startWriteBack begins to write a range and does not wait for it.
func (d descriptor) startWriteBack(off, n int64) error {
	return d.syncRange(off, n, unix.SYNC_FILE_RANGE_WRITE)
}

// waitWriteBack waits until no bytes of a range are dirty or being written back.
func (d descriptor) waitWriteBack(off, n int64) error {
	return d.syncRange(off, n,
		unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
}

func (d descriptor) syncRange(off, n int64, flags int) error {
	err := again(func() error { return unix.SyncFileRange(int(d), off, n, flags) })
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ESPIPE) {
		return errors.ErrUnsupported
	}
	return err
}
