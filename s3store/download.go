package s3store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/tus/tusd"
)

// GetReader implements tusd.Upload. Parts cannot be read: an incomplete upload
// returns tusd.ErrIncompleteUpload.
func (u *upload) GetReader(ctx context.Context) (io.ReadCloser, error) {
	st := u.current()
	if !st.info.Full() {
		return nil, wrapError("read upload", u.id, tusd.ErrIncompleteUpload)
	}
	if err := u.b.ensureCompleted(ctx, &st); err != nil {
		return nil, wrapError("read upload", u.id, err)
	}
	r, err := u.b.openData(ctx, GetObject{Key: st.dataKey()})
	return r, wrapError("read upload", u.id, asNotFound(err))
}

// asNotFound makes tusd.ErrNotFound of an error about missing data: another
// client has removed the object of a complete upload.
func asNotFound(err error) error {
	if isMissing(err) {
		return tusd.ErrNotFound.With(err)
	}
	return err
}

// ensureCompleted completes the object of an upload whose parts are all
// recorded, if that was not done yet. That needs no lease, because it is the
// only possible next change.
func (b *bucket) ensureCompleted(ctx context.Context, st *state) error {
	if st.hasObject {
		return nil
	}
	if len(st.layout.Parts) == 0 || st.layout.end() < st.info.Size {
		return tusd.ErrUploadFinishing
	}
	_, err := b.completeAlone(ctx, st, true)
	if isMultipartGone(err) {
		return tusd.ErrUploadFailed.With(err) // finishing it will store the same answer
	}
	return err
}

// openData opens the data object of a complete upload.
func (b *bucket) openData(ctx context.Context, in GetObject) (io.ReadCloser, error) {
	for try := 1; ; try++ { // without the timeout of other calls, because a client may read the body for long
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		o, err := b.client.GetObject(ctx, in)
		if err == nil {
			return o.Body, nil
		}
		if !mayAppear(err, try) && (!isTransient(err) || try == maxTries) {
			return nil, err
		}
		b.retried("GetObject")
		if err := sleep(ctx, firstBackoff); err != nil {
			return nil, err
		}
	}
}

// headData returns the description of the data object of a complete upload.
func (b *bucket) headData(ctx context.Context, st *state) (*Object, error) {
	for try := 1; ; try++ {
		o, err := b.head(ctx, st.dataKey())
		if err == nil && o.Size != st.info.Size {
			err = fmt.Errorf("the object has %d bytes, not %d", o.Size, st.info.Size)
		}
		if !mayAppear(err, try) {
			return o, err
		}
		b.retried("HeadObject")
		if err := sleep(ctx, firstBackoff); err != nil {
			return nil, err
		}
	}
}

// missingTries is how often a missing object is asked for that must exist.
const missingTries = 5

// mayAppear reports whether a missing object that must exist is worth another
// try: at some services it is missing for a moment while another process
// completes it again.
func mayAppear(err error, try int) bool { return isMissing(err) && try < missingTries }

// ServeContent implements tusd.ContentServer. net/http evaluates ranges and
// conditions, which services support only partly, against a HEAD of the object;
// If-Match ensures that the bytes come from the same object. With
// RedirectDownloads it redirects to the service.
func (s *Store) ServeContent(ctx context.Context, up tusd.Upload, w http.ResponseWriter, r *http.Request) error {
	u, err := asUpload(up)
	if err != nil {
		return err
	}
	st := u.current()
	if !st.info.Complete() {
		return tusd.ErrIncompleteUpload
	}
	if err := u.b.ensureCompleted(ctx, &st); err != nil {
		return wrapError("serve upload", u.id, err)
	}
	if s.RedirectDownloads > 0 {
		forceAttachment(w.Header())
		if done, err := s.redirect(w, r, st.dataKey()); done || err != nil {
			return wrapError("redirect download", u.id, err)
		}
	}
	o, err := u.b.headData(ctx, &st)
	if err != nil {
		return wrapError("serve upload", u.id, asNotFound(err))
	}
	w.Header().Set("ETag", s.etag(u.id, &st, o))
	bytes := &objectReader{ctx: ctx, b: u.b, key: st.dataKey(), etag: o.ETag, size: o.Size}
	defer bytes.Close()
	answer := &openingWriter{ResponseWriter: w, content: bytes, head: r.Method == http.MethodHead}
	http.ServeContent(answer, r, "", o.Modified, bytes)
	return wrapError("serve upload", u.id, asNotFound(answer.err))
}

// openingWriter opens the content before it writes the header of an answer with
// content: if the service cannot provide it, an error can still be answered.
type openingWriter struct {
	http.ResponseWriter
	content *objectReader
	head    bool
	err     error // why the content could not be opened; then nothing is written
}

func (w *openingWriter) WriteHeader(status int) {
	// Of several ranges each is opened when it is its turn.
	single := status == http.StatusOK || status == http.StatusPartialContent && w.Header().Get("Content-Range") != ""
	if single && !w.head {
		if _, w.err = w.content.open(); w.err != nil {
			return
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *openingWriter) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	return w.ResponseWriter.Write(p)
}

// ReadFrom is io.Copy for the inner writer, which counts the bytes of the
// content.
func (w *openingWriter) ReadFrom(src io.Reader) (int64, error) {
	if w.err != nil {
		return 0, w.err
	}
	return io.Copy(w.ResponseWriter, src)
}

func (w *openingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// etag returns a strong ETag: complete data does not change, and another upload
// has another proof. The proof is hashed, so the ETag does not reveal it. With
// redirects it is the ETag of the service, which knows no other.
func (s *Store) etag(id string, st *state, o *Object) string {
	if s.RedirectDownloads > 0 {
		return o.ETag
	}
	return hashedETag(id, st.layout.Proof, o.ETag)
}

func hashedETag(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	return fmt.Sprintf(`"%x"`, sum[:16])
}
