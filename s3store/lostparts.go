package s3store

import (
	"context"
	"errors"

	"github.com/tus/tusd"
)

// lost looks whether an error means that the parts that were stored are gone.
func (c *chunk) lost(err error) error {
	if st := c.line.state(); isLostUpload(err) && len(st.content.Parts) > 0 {
		return c.u.failForGood(c.ctx, st, err)
	}
	return err
}

// failForGood writes down that the bytes of an upload are gone, if its record
// is still the one that says where they were: somebody else has aborted the
// multipart upload, a rule of the bucket perhaps.
func (u *upload) failForGood(ctx context.Context, st state, cause error) error {
	u.doubt()
	now, err := u.begin(ctx)
	if err != nil {
		return errors.Join(cause, err)
	}
	if !sameETag(now.etag, st.etag) || now.whole {
		return overtaken(cause)
	}
	now.info.State, now.info.Failure = tusd.StateFailed, bytesGone()
	if err := u.store(ctx, now); err != nil {
		return errors.Join(cause, err)
	}
	return tusd.ErrUploadFailed.With(cause)
}

// bytesGone is the answer of an upload whose bytes are gone.
func bytesGone() *tusd.Failure {
	return &tusd.Failure{
		Code: tusd.ErrUploadFailed.Code, StatusCode: tusd.ErrUploadFailed.Status.Tus,
		Body: "the stored bytes are gone\n",
	}
}
