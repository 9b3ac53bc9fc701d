package s3store

import (
	"context"
	"fmt"

	"github.com/tus/tusd"
)

// DeclareLength implements tusd.LengthDeferrer.
func (s *Store) DeclareLength(ctx context.Context, up tusd.Upload, length int64) error {
	u, err := ours(up)
	if err != nil {
		return err
	}
	st, err := u.begin(ctx)
	if err != nil {
		return failed("declare the length of upload", u.id, err)
	}
	if length == -1 {
		st.info.Size, st.info.SizeIsDeferred = 0, true
		return failed("take back the length of upload", u.id, u.store(ctx, st))
	}
	if !st.info.SizeIsDeferred || length < st.offset() {
		return failed("declare the length of upload", u.id,
			tusd.ErrInvalidUploadLength.With(fmt.Errorf("%d, with %d bytes stored", length, st.offset())))
	}
	if err := u.b.checkLength(&st, length); err != nil {
		return failed("declare the length of upload", u.id, err)
	}
	st.info.Size, st.info.SizeIsDeferred = length, false
	return failed("declare the length of upload", u.id, u.store(ctx, st))
}

// checkLength refuses a length that an upload cannot reach any more.
func (b *bucket) checkLength(st *state, length int64) error {
	if err := b.plan.check(length); err != nil {
		return err
	}
	if length == st.offset() {
		return nil
	}
	if size := st.content.PartSize; size > 0 && length > size*int64(b.plan.maxParts) {
		return tusd.ErrMaxSizeExceeded.With(fmt.Errorf("%d bytes need more than %d parts of %d bytes", length, b.plan.maxParts, size))
	}
	_, err := b.plan.needed(st.content.nextNumber(), st.content.end(), length)
	return err
}
