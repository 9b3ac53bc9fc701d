package s3store

import (
	"context"
	"fmt"
	"time"
)

// completeAlone is completeMultipart for one caller at a time. Readers complete
// uploads, too, and at some services an object that is completed twice at the
// same time is missing for a moment. checkFirst says whether to look for the
// object before completing it; a caller that has waited always does.
func (b *bucket) completeAlone(ctx context.Context, st *state, checkFirst bool) (etag string, err error) {
	waited, err := b.completing.Lock(ctx, st.layout.Multipart)
	if err != nil {
		return "", err
	}
	defer b.completing.Unlock(st.layout.Multipart)
	if waited || checkFirst {
		if etag, err := b.completed(ctx, st); etag != "" || err != nil {
			return etag, err
		}
	}
	return b.completeMultipart(ctx, st)
}

// A completion has a longer timeout than other calls, and still longer for each
// part. Services take minutes; some start again if the call is aborted, and
// some lose the parts if they are called again meanwhile.
const (
	completionFactor = 10
	completionTime   = 50 * time.Millisecond
)

// completeMultipart makes the object from the recorded parts. If the service
// does not know the multipart upload, an earlier completion may have succeeded
// without an answer: then it looks for the object.
func (b *bucket) completeMultipart(ctx context.Context, st *state) (etag string, err error) {
	etag, err = retry(ctx, b, "CompleteMultipartUpload", 0, func(ctx context.Context) (string, error) {
		longer, cancel := context.WithTimeout(context.WithoutCancel(ctx), completionFactor*b.timeout+time.Duration(len(st.layout.Parts))*completionTime)
		defer cancel()
		return b.client.CompleteMultipart(longer, st.dataKey(), st.layout.Multipart, st.layout.Parts)
	})
	if !isMultipartGone(err) {
		return etag, err
	}
	for range missingTries { // the object may be missing for a moment only
		if etag, headErr := b.completed(ctx, st); etag != "" || headErr != nil {
			return etag, headErr
		}
		if ended := sleep(ctx, firstBackoff); ended != nil {
			return "", ended
		}
	}
	return "", err
}

// completed returns the ETag of the data object if it proves that the upload
// was completed, else "".
func (b *bucket) completed(ctx context.Context, st *state) (etag string, err error) {
	o, err := b.head(ctx, st.dataKey())
	switch {
	case err == nil && o.Size == st.info.Size && st.owns(o):
		return o.ETag, nil
	case err == nil || isMissing(err):
		return "", nil
	}
	return "", fmt.Errorf("look for the data: %w", err)
}
