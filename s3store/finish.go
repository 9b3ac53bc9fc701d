package s3store

import (
	"context"
	"errors"
	"net/http"
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
