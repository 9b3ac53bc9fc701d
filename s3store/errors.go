package s3store

import (
	"errors"
	"fmt"

	"github.com/tus/tusd"
)

var errNotOpen = errors.New("s3store: the store is not open")

// errWrongObject is about an object that is not what was stored: somebody has
// replaced it, or the answer was not the service's.
var errWrongObject = errors.New("it is not what was stored there")

// errRemoving is about an upload whose removal has begun.
var errRemoving = errors.New("its bytes are being removed")

// wrapError wraps an error with what was done to which upload.
func wrapError(doing, id string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("s3store: %s %s: %w", doing, id, err)
}

// brokenRecord is the answer for a record that cannot be one.
func brokenRecord(key, format string, args ...any) error {
	return tusd.ErrNotFound.With(fmt.Errorf("s3store: %w: %s: %w", tusd.ErrBroken, key, fmt.Errorf(format, args...)))
}

// concurrentChange is the answer when somebody else has changed an upload: what this
// process believed of it does not hold, and a client that asks again gets the
// truth.
func concurrentChange(err error) error {
	return tusd.ErrUploadInterrupted.With(fmt.Errorf("another process has changed the upload: %w", err))
}
