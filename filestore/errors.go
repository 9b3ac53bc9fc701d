package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/tus/tusd"
)

// failed wraps an error with the action and the id, and translates errors that have
// a meaning for the handler.
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

// isAbsent reports whether err means that there is no such file. That is also so if
// a directory of its path is a file, or the name is too long.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) ||
		errors.Is(err, syscall.ENAMETOOLONG)
}

// notFound returns the error for an upload without a record.
func notFound(err error) error { return tusd.ErrNotFound.With(err) }

// brokenError means that a record or data, at path, is not valid. It matches
// tusd.ErrBroken.
type brokenError struct {
	path string
	err  error
}

func (e *brokenError) Error() string {
	return fmt.Sprintf("filestore: %v: %s: %v", tusd.ErrBroken, e.path, e.err)
}

func (e *brokenError) Unwrap() []error { return []error{tusd.ErrBroken, e.err} }

// broken returns the error for an upload whose record or data, at path, is not valid.
func broken(path, format string, args ...any) error {
	return tusd.ErrNotFound.With(&brokenError{path, fmt.Errorf(format, args...)})
}

// isImpossibleName reports whether err means that the file system does not allow
// the name: it is too long, or has forbidden characters.
func isImpossibleName(err error) bool {
	return errors.Is(err, syscall.ENAMETOOLONG) || errors.Is(err, syscall.EILSEQ) || errors.Is(err, syscall.EINVAL)
}
