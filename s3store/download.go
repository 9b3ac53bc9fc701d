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

// GetReader implements tusd.Upload. Parts cannot be read: an upload that lacks
// bytes gives tusd.ErrIncompleteUpload.
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

// asNotFound is the error for data that is not there, however often it is asked
// for: somebody has removed the object of a complete upload.
func asNotFound(err error) error {
	if isMissing(err) {
		return tusd.ErrNotFound.With(err)
	}
	return err
}

// ensureCompleted completes the object of an upload whose parts are all listed:
// whoever was to finish it has not got there. That needs no lease, since
// nothing else can become of it.
func (b *bucket) ensureCompleted(ctx context.Context, st *state) error {
	if st.hasObject {
		return nil
	}
	if len(st.layout.Parts) == 0 || st.layout.end() < st.info.Size {
		return tusd.ErrUploadFinishing
	}
	_, err := b.completeAlone(ctx, st, true)
	if isMultipartGone(err) {
		return tusd.ErrUploadFailed.With(err) // as who finishes it will write down
	}
	return err
}

// openData opens the data object of a complete upload.
func (b *bucket) openData(ctx context.Context, in GetObject) (io.ReadCloser, error) {
	for try := 1; ; try++ { // without the timeout of other calls: the body flows as long as it is read
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

// headData describes the data object of a complete upload.
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

// missingTries is how often an object is asked for that must be there.
const missingTries = 5

// mayAppear tells whether an object that must be there, and is not, is worth
// another look: at some services it is away for a moment while another process
// completes it once more.
func mayAppear(err error, try int) bool { return isMissing(err) && try < missingTries }

// ServeContent implements tusd.ContentServer. net/http evaluates ranges and
// conditions, of which services know less, against what a HEAD of the object
// says; the bytes come from that very object. With RedirectDownloads a
// client is told where the service has them.
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

// openingWriter opens the content before an answer with content begins: if the
// service has none to give, there is an error to answer in place of it.
type openingWriter struct {
	http.ResponseWriter
	content *objectReader
	head    bool
	err     error // why there was nothing to open; then nothing is written
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

// ReadFrom is io.Copy for the writer behind, which knows how far the content
// has come.
func (w *openingWriter) ReadFrom(src io.Reader) (int64, error) {
	if w.err != nil {
		return 0, w.err
	}
	return io.Copy(w.ResponseWriter, src)
}

func (w *openingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// etag is strong: complete data does not change, and another upload has
// another proof, of which nobody learns more than this. Where the service
// answers downloads, it is the service's: that one knows no other.
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
