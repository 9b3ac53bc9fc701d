package durable

import (
	"errors"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// directoriesSync tells whether a directory can be synced.
const directoriesSync = true

// datasync makes data and size of f durable.
func datasync(f *os.File) error {
	return onDescriptor("fdatasync", f, unix.Fdatasync)
}

// startWriteBack begins to write a range and does not wait for it.
func startWriteBack(f *os.File, off, n int64) error {
	return syncRange(f, off, n, unix.SYNC_FILE_RANGE_WRITE)
}

// waitWriteBack waits until nothing of a range is dirty or on its way.
func waitWriteBack(f *os.File, off, n int64) error {
	return syncRange(f, off, n,
		unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
}

func syncRange(f *os.File, off, n int64, flags int) error {
	return onDescriptor("sync_file_range", f, func(fd int) error {
		err := unix.SyncFileRange(fd, off, n, flags)
		if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ESPIPE) {
			return errors.ErrUnsupported
		}
		return err
	})
}

// onDescriptor makes a system call on f, again when a signal cuts it short.
func onDescriptor(op string, f *os.File, call func(fd int) error) error {
	err := call(int(f.Fd()))
	for err == unix.EINTR {
		err = call(int(f.Fd()))
	}
	runtime.KeepAlive(f)
	if err != nil {
		return &os.PathError{Op: op, Path: f.Name(), Err: err}
	}
	return nil
}
