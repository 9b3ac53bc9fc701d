package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/tus/tusd"
)

// failed wraps an error with what was done to which upload, and translates
// what has a meaning for the handler.
func failed(doing, id string, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("filestore: %s %s: %w", doing, id, err)
	if isNoSpace(err) && !errors.Is(err, tusd.ErrNoSpace) {
		return tusd.ErrNoSpace.With(err)
	}
	return err
}

func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		errors.Is(err, syscall.EFBIG) || isDiskFull(err)
}

// isAbsent tells whether err says that there is no such file: also when a
// directory on the way is a file, or the name is longer than any file's.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) ||
		errors.Is(err, syscall.ENAMETOOLONG)
}

// notFound is the answer for an upload without a record.
func notFound(err error) error { return tusd.ErrNotFound.With(err) }

// broken is the answer for a record at path that cannot be one.
func broken(path, format string, args ...any) error {
	return tusd.ErrNotFound.With(fmt.Errorf("filestore: %w: %s: %w", tusd.ErrBroken, path, fmt.Errorf(format, args...)))
}

// isImpossibleName reports whether err says that the file system has no file with
// that name: it is too long, or has characters that are not allowed there.
func isImpossibleName(err error) bool {
	return errors.Is(err, syscall.ENAMETOOLONG) || errors.Is(err, syscall.EILSEQ) || errors.Is(err, syscall.EINVAL)
}
