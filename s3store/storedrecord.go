package s3store

import (
	"bytes"
	"context"

	"github.com/tus/tusd"
)

// StoredRecord returns the record of the upload id as it is stored, with its part list and
// without its padding, for people. It does not check it. ErrNotFound: there is none.
func (s *Store) StoredRecord(ctx context.Context, id string) ([]byte, error) {
	b, err := s.bucket()
	if err != nil {
		return nil, err
	}
	if err := tusd.ValidateID(id); err != nil {
		return nil, err
	}
	stored, err := b.readSmall(ctx, b.recordKey(id), maxRecord)
	if object, _, ok := splitV2ID(id); ok && isMissing(err) {
		stored, err = b.readSmall(ctx, b.recordKey(object), maxRecord)
	}
	if isMissing(err) {
		err = tusd.ErrNotFound.With(err)
	}
	return bytes.TrimRight(stored.content, " "), wrapError("read the record of", id, err)
}
