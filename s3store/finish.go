package s3store

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/tus/tusd"
)

// FinishUpload implements tusd.Upload.
func (u *upload) FinishUpload(ctx context.Context) error {
	return failed("finish upload", u.id, u.finish(ctx))
}

func (u *upload) finish(ctx context.Context) error {
	st, err := u.begin(ctx)
	if err != nil || st.whole {
		return err
	}
	if !st.info.Full() {
		return errors.New("bytes are missing")
	}
	if st.content.TakenOver != nil && st.info.Size == 0 {
		return u.finishEmptyForeign(ctx, st)
	}
	if st.content.Multipart == "" || st.content.end() < st.info.Size {
		// Pieces are left, or it has no bytes: a chunk of nothing puts them in place.
		if err := u.write(ctx, st.info.Size, http.NoBody, false); err != nil {
			return err
		}
		if st = u.current(); st.whole {
			return nil
		}
	}
	return u.complete(ctx, st)
}

// complete makes the object of the listed parts.
func (u *upload) complete(ctx context.Context, st state) error {
	held, stop := u.underLease(ctx)
	defer stop()
	etag, err := u.b.completeAlone(held, &st, false)
	if isGone(err) {
		return u.failForGood(ctx, st, err)
	}
	if err != nil {
		return err
	}
	return u.completeWith(held, st, etag)
}

// completeWith writes down that the data object is there.
func (u *upload) completeWith(ctx context.Context, st state, etag string) error {
	st.content = content{Proof: st.content.Proof, ETag: etag, TakenOver: st.content.TakenOver}
	st.whole = true
	if err := u.store(ctx, st); err != nil {
		return err
	}
	_, err := u.removeStrays(ctx, st)
	return err
}

// completeAlone is completeMultipart for one caller at a time: readers complete,
// too, and at some services an object that is made twice at the same time is
// not there for a moment. looks tells that the caller looks first whether it
// was made; whoever has waited does so anyway.
func (b *bucket) completeAlone(ctx context.Context, st *state, looks bool) (etag string, err error) {
	waited, err := b.completing.Lock(ctx, st.content.Multipart)
	if err != nil {
		return "", err
	}
	defer b.completing.Unlock(st.content.Multipart)
	if waited || looks {
		if etag, err := b.completed(ctx, st); etag != "" || err != nil {
			return etag, err
		}
	}
	return b.completeMultipart(ctx, st)
}

// A completion may take as many times as long as other calls, and longer for
// each part: services take minutes, some begin anew when the call is given up,
// and some lose the parts if they are called again meanwhile.
const (
	completionFactor = 10
	completionTime   = 50 * time.Millisecond
)

// completeMultipart makes the object of the listed parts, or finds that it
// was made: the answer may have been lost, and the service does not know the
// multipart upload any more.
func (b *bucket) completeMultipart(ctx context.Context, st *state) (etag string, err error) {
	etag, err = retry(ctx, b, "CompleteMultipartUpload", 0, func(ctx context.Context) (string, error) {
		longer, cancel := context.WithTimeout(context.WithoutCancel(ctx), completionFactor*b.timeout+time.Duration(len(st.content.Parts))*completionTime)
		defer cancel()
		return b.client.CompleteMultipart(longer, st.dataKey(), st.content.Multipart, st.content.Parts)
	})
	if !isGone(err) {
		return etag, err
	}
	for range missingTries { // the bytes are not given up because of a moment
		if etag, headErr := b.completed(ctx, st); etag != "" || headErr != nil {
			return etag, headErr
		}
		if ended := pause(ctx, firstWait); ended != nil {
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

// isGone tells whether the service has no such multipart upload, or not those
// parts of it. It has to say so itself: a proxy that has lost its service
// answers 404, too, and bytes would be given up that are all there.
func isGone(err error) bool {
	var e *Error
	return errors.As(err, &e) && slices.Contains([]string{"NoSuchUpload", "NoSuchKey", "InvalidPart"}, e.Code)
}

// isLostUpload tells whether a part could not be stored because there is no
// such multipart upload.
func isLostUpload(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Operation == "UploadPart" && isGone(err)
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
