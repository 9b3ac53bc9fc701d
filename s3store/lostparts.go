package s3store

import (
	"context"
	"errors"

	"github.com/tus/tusd"
)

// failIfPartsLost makes the upload failed if err means that its stored parts
// are gone.
func (c *chunk) failIfPartsLost(err error) error {
	if st := c.parts.state(); isUploadPartGone(err) && len(st.layout.Parts) > 0 {
		return c.u.failUpload(c.ctx, st, err)
	}
	return err
}

// failUpload makes an upload failed because its bytes are gone: another client,
// or a lifecycle rule of the bucket, has aborted the multipart upload. It does
// nothing if the record has changed meanwhile.
func (u *upload) failUpload(ctx context.Context, st state, cause error) error {
	u.invalidate()
	now, err := u.freshState(ctx)
	if err != nil {
		return errors.Join(cause, err)
	}
	if !sameETag(now.etag, st.etag) || now.hasObject {
		return u.b.concurrentChange(u.id, cause)
	}
	now.info.State, now.info.Failure = tusd.StateFailed, bytesLost()
	if err := u.storeRecord(ctx, now); err != nil {
		return errors.Join(cause, err)
	}
	u.b.log.Error("an upload has failed: the service does not have the parts that its record lists", "id", u.id, "err", cause)
	return tusd.ErrUploadFailed.With(cause)
}

// bytesLost is the stored answer of an upload whose bytes are gone.
func bytesLost() *tusd.Failure {
	return &tusd.Failure{
		Code: tusd.ErrUploadFailed.Code, StatusCode: tusd.ErrUploadFailed.Status.Tus,
		Body: "the stored bytes are gone\n",
	}
}
