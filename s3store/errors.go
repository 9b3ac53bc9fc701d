package s3store

import (
	"errors"
	"fmt"

	"github.com/tus/tusd"
)

var errNotOpen = errors.New("s3store: the store is not open")

// errWrongObject means that an object is not the one that was stored: it was
// replaced, or the answer did not come from the service.
var errWrongObject = errors.New("it is not what was stored there")

// errRemoving means that the removal of the upload has started.
var errRemoving = errors.New("its bytes are being removed")

// errDisagree means that an upload cannot be loaded, whatever the reason.
var errDisagree = errors.New("the record and the listing do not agree")

// errNewerRecord means that a newer version of this program has stored the record.
var errNewerRecord = errors.New("the record is of a newer version of this program")

// wrapError adds the operation and the id to an error.
func wrapError(doing, id string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("s3store: %s %s: %w", doing, id, err)
}

// brokenRecord returns the error for a record that cannot be read.
func brokenRecord(key, format string, args ...any) error {
	return tusd.ErrNotFound.With(fmt.Errorf("s3store: %w: %s: %w", tusd.ErrBroken, key, fmt.Errorf(format, args...)))
}

// concurrentChange returns the error for an upload that another process has
// changed. The client gets the new state when it asks again.
func (b *bucket) concurrentChange(id string, err error) error {
	if b.scope == tusd.ScopeLease {
		b.log.Warn("a request has lost its lock without notice: what it stores now does not count", "id", id, "err", err)
	} else {
		b.otherWriter.Do(func() { b.log.Warn(otherWriter, "id", id, "err", err) })
	}
	return tusd.ErrUploadInterrupted.With(fmt.Errorf("another process has changed the upload: %w", err))
}

// otherWriter is logged once. While one process takes the place of another, it is normal.
const otherWriter = "another process has changed an upload at the same time: several servers on one bucket need a locker that they share"
