package s3store

import (
	"context"
	"errors"
	"net/http"
)

// FinishUpload implements tusd.Upload.
func (u *upload) FinishUpload(ctx context.Context) error {
	return wrapError("finish upload", u.id, u.finish(ctx))
}

// finish makes the data object of a full upload.
func (u *upload) finish(ctx context.Context) error {
	st, err := u.freshState(ctx)
	if err != nil || st.hasObject {
		return err
	}
	if !st.info.Full() {
		return errors.New("bytes are missing")
	}
	if st.layout.TakenOver != nil && st.info.Size == 0 {
		return u.finishEmptyV2(ctx, st)
	}
	if st.layout.Multipart == "" || st.layout.end() < st.info.Size {
		// A tail is left, or the upload is empty: an empty chunk makes the last part or the object.
		if err := u.write(ctx, st.info.Size, http.NoBody, false); err != nil {
			return err
		}
		if st = u.current(); st.hasObject {
			return nil
		}
	}
	return u.complete(ctx, st)
}

// complete makes the data object from the recorded parts.
func (u *upload) complete(ctx context.Context, st state) error {
	leased, stop := u.underLease(ctx)
	defer stop()
	etag, err := u.b.completeAlone(leased, &st, false)
	if isMultipartGone(err) {
		return u.failUpload(ctx, st, err)
	}
	if err != nil {
		return err
	}
	return u.completeWith(leased, st, etag)
}

// completeWith records that the data object is stored.
func (u *upload) completeWith(ctx context.Context, st state, etag string) error {
	st.layout = layout{Proof: st.layout.Proof, ETag: etag, TakenOver: st.layout.TakenOver}
	st.hasObject = true
	if err := u.storeRecord(ctx, st); err != nil {
		return err
	}
	_, err := u.removeOrphans(ctx, st)
	return err
}
