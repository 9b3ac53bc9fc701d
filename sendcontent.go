package tusd

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/tus/tusd/internal/byteranges"
)

// The answer with the content of a complete upload, in both dialects. If content ends
// early, the log names the side that failed: the client that does not read, or the
// store.

// sendComplete answers with the content of a complete upload.
func (x *exchange) sendComplete() error {
	content, info, err := x.h.engine.download(x.operation(), x.id)
	if err != nil {
		return err
	}
	err = x.send(content, info)
	if err == nil || x.status != 0 {
		return err
	}
	return cmp.Or(x.h.engine.checkExists(x.r.Context(), x.id), err)
}

// send answers with content. Its header makes untrusted content as harmless for a
// browser as possible.
func (x *exchange) send(content storedContent, info FileInfo) error {
	header := x.Header()
	contentType, contentDisposition := contentHeaders(info.MetaData)
	header.Set("Content-Type", contentType)
	header.Set("Content-Disposition", contentDisposition)
	header.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	if x.h.engine.config.Callbacks.PreAccess != nil {
		header.Set("Cache-Control", "private") // other clients need permission, too
	}
	if coding := info.MetaData["contentencoding"]; info.Dialect == DialectIETF && isCodingList(coding) {
		header.Set("Content-Encoding", coding)
	}
	x.dialect.setContentFields(x, info)
	if !content.hasRanges() {
		return x.stream(content, info)
	}
	answer := contentAnswer{exchange: x}
	err := content.serve(x.r.Context(), &answer, x.contentRequest(info.Size))
	if err = cmp.Or(err, answer.refusal); err != nil && x.status == 0 {
		sized := header["Content-Range"]
		dropContentHeaders(header)
		if errors.Is(err, ErrRangeNotSatisfiable) && sized != nil {
			header["Content-Range"] = sized // it has the length of the content
		}
		return err
	}
	x.recordReadFailure(err)
	x.checkSentLength()
	return nil
}

// contentAnswer is an exchange for a content server. If that refuses the request, the
// refusal becomes an error, which is answered like all others.
type contentAnswer struct {
	*exchange
	refusal error
}

// WriteHeader implements http.ResponseWriter.
func (a *contentAnswer) WriteHeader(status int) {
	switch {
	case status < 400 || a.status != 0:
		a.exchange.WriteHeader(status)
	case status == http.StatusPreconditionFailed:
		a.refusal = ErrPreconditionFailed
	case status == http.StatusRequestedRangeNotSatisfiable:
		a.refusal = ErrRangeNotSatisfiable
	default:
		a.refusal = fmt.Errorf("the content server answers with status %d", status)
	}
}

// Write implements http.ResponseWriter.
func (a *contentAnswer) Write(p []byte) (int, error) {
	if a.refusal != nil {
		return len(p), nil
	}
	return a.exchange.Write(p)
}

// ReadFrom implements io.ReaderFrom.
func (a *contentAnswer) ReadFrom(src io.Reader) (int64, error) {
	if a.refusal != nil {
		return io.Copy(io.Discard, src)
	}
	return a.exchange.ReadFrom(src)
}

// stream sends content from a store without ranges.
func (x *exchange) stream(stored storedContent, info FileInfo) error {
	content, err := stored.open(x.r.Context())
	if err != nil {
		dropContentHeaders(x.Header())
		return err
	}
	defer content.Close()
	x.Header().Set("Content-Length", formatInt(info.Size))
	x.WriteHeader(http.StatusOK)
	if x.method != http.MethodHead {
		x.ReadFrom(content)
		x.checkSentLength()
	}
	return nil
}

// dropContentHeaders removes the fields that describe content which cannot be sent.
func dropContentHeaders(header http.Header) {
	for _, name := range []string{"Cache-Control", "Content-Type", "Content-Disposition", "Content-Security-Policy", "Content-Encoding",
		"Content-Length", "Content-Range", "Accept-Ranges", "Etag", "Last-Modified", "Upload-Offset", "Upload-Length", "Upload-Complete", "Upload-Incomplete", "Upload-Limit", "Repr-Digest"} {
		header.Del(name)
	}
}

// contentRequest returns the request for the store. It limits the ranges, which only a
// GET has, and removes dates that are too long to be valid, because net/http is slow to
// parse them.
func (x *exchange) contentRequest(size int64) *http.Request {
	var edited http.Header
	set := func(name, value string) {
		if edited == nil {
			edited = maps.Clone(x.r.Header)
		}
		if edited[name] = []string{value}; value == "" {
			delete(edited, name)
		}
	}
	for _, name := range []string{"If-Modified-Since", "If-Unmodified-Since"} {
		if len(x.r.Header.Get(name)) > longestDate {
			set(name, "")
		}
	}
	field := x.r.Header.Get("Range")
	switch ranges := byteranges.Simplify(field, size); {
	case field == "":
	case x.method != http.MethodGet || len(x.r.Header.Get("If-Range")) > longestIfRange: // the range has no meaning, or the validator matches nothing
		set("If-Range", "")
		set("Range", "")
	case ranges != field:
		set("Range", ranges)
	}
	if edited == nil {
		return x.r
	}
	r := x.r.WithContext(x.r.Context()) // a copy
	r.Header = edited
	return r
}

// A longer value is not a date, or does not match any validator.
const (
	longestDate    = 64
	longestIfRange = 1 << 10
)

// recordSent counts sent bytes. An error means that the client did not take the answer.
// It is only logged.
func (x *exchange) recordSent(n int64, err error) {
	x.written += n
	if err != nil && x.cause == nil {
		x.code, x.cause = ErrConnectionReset.Code, ErrConnectionReset.With(err)
	}
}

// recordReadFailure records that the store could not read the content of an answer that
// has begun. The status is already sent, so the failure appears only in the log and the
// metrics.
func (x *exchange) recordReadFailure(err error) {
	if x.cause != nil || err == nil {
		return
	}
	if x.r.Context().Err() != nil {
		x.recordSent(0, err) // the client has disconnected, which stops the store
		return
	}
	x.code, x.cause = asError(err).Code, err
	x.h.engine.metrics.failed(x.code, x.status)
}

// contentSource reads content and keeps the error of reading it.
type contentSource struct {
	io.Reader
	err error
}

func (s *contentSource) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// isFileReadError reports whether an error of sending a file is one of reading it. The
// system reads and sends in one call, so only the error shows the difference.
func isFileReadError(err error) bool {
	var reading *fs.PathError
	return errors.As(err, &reading) || errors.Is(err, syscall.EIO) || errors.Is(err, syscall.ESTALE)
}

// nextSegmentSize returns the size of the next segment, after one of this size took so
// long.
func nextSegmentSize(size int64, took time.Duration) int64 {
	switch {
	case took > 200*time.Millisecond:
		return max(size/2, minSegmentSize)
	case took < 20*time.Millisecond:
		return min(2*size, maxSegmentSize)
	}
	return size
}

// ReadFrom keeps the way in which net/http sends files without copying them. It sends
// segments, so that deadlines follow progress.
func (x *exchange) ReadFrom(src io.Reader) (int64, error) {
	limited, ok := src.(*io.LimitedReader) // unwrapped: net looks through one LimitedReader only
	if !ok {
		limited = &io.LimitedReader{R: src, N: 1<<63 - 1}
	}
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	file, isFile := limited.R.(*os.File)
	to, ok := x.ResponseWriter.(io.ReaderFrom)
	if ok && isFile {
		return x.sendFile(to, file, limited)
	}
	content := &contentSource{Reader: limited.R}
	limited.R = content
	defer func() { limited.R = content.Reader }()
	if ok {
		return x.sendSegments(to, limited, func(error) bool { return content.err != nil })
	}
	n, err := io.Copy(struct{ io.Writer }{x}, limited)
	x.recordReadFailure(content.err)
	return n, err
}

// sendFile is sendSegments for a file. If only a part of a segment was sent in its
// time, the rest is sent in smaller segments.
func (x *exchange) sendFile(to io.ReaderFrom, file *os.File, content *io.LimitedReader) (total int64, err error) {
	begin, err := file.Seek(0, io.SeekCurrent)
	for err == nil && content.N > 0 {
		var n int64
		n, err = x.sendSegment(to, content, isFileReadError)
		total += n
		slow := n > 0 && errors.Is(err, os.ErrDeadlineExceeded) && x.r.Context().Err() == nil
		if slow && !x.deadlines.Hastened() {
			_, err = file.Seek(begin+total, io.SeekStart) // back to the bytes that were read but not sent
			x.segmentSize = minSegmentSize
			continue
		}
		if x.recordSent(0, err); n == 0 {
			break
		}
	}
	return total, err
}

// sendSegments sends content. isReadError reports whether an error is one of reading
// it.
func (x *exchange) sendSegments(to io.ReaderFrom, content *io.LimitedReader, isReadError func(error) bool) (total int64, err error) {
	for content.N > 0 {
		n, err := x.sendSegment(to, content, isReadError)
		total += n
		x.recordSent(0, err)
		if err != nil || n == 0 {
			return total, err
		}
	}
	return total, nil
}

// sendSegment sends one segment of content under one deadline.
func (x *exchange) sendSegment(to io.ReaderFrom, content *io.LimitedReader, isReadError func(error) bool) (int64, error) {
	x.deadlines.BeforeWrite()
	begun := time.Now()
	segment := io.LimitedReader{R: content.R, N: min(content.N, x.segmentSize)}
	n, err := to.ReadFrom(&segment)
	content.N -= n
	x.recordSent(n, nil)
	if err != nil && isReadError(err) {
		x.recordReadFailure(err)
	}
	x.segmentSize = nextSegmentSize(x.segmentSize, time.Since(begun))
	return n, err
}

// checkSentLength records a read failure if content was shorter than its
// Content-Length.
func (x *exchange) checkSentLength() {
	if x.method == http.MethodHead || x.status != http.StatusOK && x.status != http.StatusPartialContent {
		return
	}
	length, err := strconv.ParseInt(x.Header().Get("Content-Length"), 10, 64)
	if err == nil && x.written < length {
		x.recordReadFailure(fmt.Errorf("the content ended after %d of %d bytes", x.written, length))
	}
}

// The size of segments, each of which has one write deadline. A client that reads the
// largest segment in twice the network timeout is not cut off. Sizes follow the
// client's pace, so that the progress of a slow client is visible. The first segments
// do not show that pace, since they go into buffers on the way: if a client takes only
// a part of one in time, the rest is sent in small segments.
const (
	minSegmentSize = 16 << 10
	maxSegmentSize = 256 << 10
)
