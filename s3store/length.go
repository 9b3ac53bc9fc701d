package s3store

import (
	"context"
	"fmt"

	"github.com/tus/tusd"
)

// DeclareLength implements tusd.LengthDeferrer.
func (s *Store) DeclareLength(ctx context.Context, up tusd.Upload, length int64) error {
	u, err := asUpload(up)
	if err != nil {
		return err
	}
	st, err := u.freshState(ctx)
	if err != nil {
		return wrapError("declare the length of upload", u.id, err)
	}
	if length == -1 {
		st.info.Size, st.info.SizeIsDeferred = 0, true
		return wrapError("reset the length of upload", u.id, u.storeRecord(ctx, st))
	}
	if !st.info.SizeIsDeferred || length < st.offset() {
		return wrapError("declare the length of upload", u.id,
			tusd.ErrInvalidUploadLength.With(fmt.Errorf("%d, with %d bytes stored", length, st.offset())))
	}
	if err := u.b.checkLength(&st, length); err != nil {
		return wrapError("declare the length of upload", u.id, err)
	}
	st.info.Size, st.info.SizeIsDeferred = length, false
	return wrapError("declare the length of upload", u.id, u.storeRecord(ctx, st))
}

// checkLength refuses a length that the upload cannot reach.
func (b *bucket) checkLength(st *state, length int64) error {
	if err := b.partSizes.checkLength(length); err != nil {
		return err
	}
	if length == st.offset() {
		return nil
	}
	if size := st.layout.PartSize; size > 0 && length > size*int64(b.partSizes.maxParts) {
		return tusd.ErrMaxSizeExceeded.With(fmt.Errorf("%d bytes need more than %d parts of %d bytes", length, b.partSizes.maxParts, size))
	}
	_, err := b.partSizes.minSize(st.layout.nextNumber(), st.layout.end(), length)
	return err
}
