package tusd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"
)

// Sending content: who is to blame if it ends early, the client that does not
// take it or the store that cannot read it.

// wrote counts what was sent. That a client did not take an answer is for the
// log only.
func (x *exchange) wrote(n int64, err error) {
	x.written += n
	if err != nil && x.cause == nil {
		x.code, x.cause = ErrConnectionReset.Code, ErrConnectionReset.With(err)
	}
}

// unreadable notes that the store could not read the content of an answer that
// has begun. The status has gone; what is left is the log and the metrics.
func (x *exchange) unreadable(err error) {
	if x.cause != nil || err == nil {
		return
	}
	if x.r.Context().Err() != nil {
		x.wrote(0, err) // the client has gone, so that the store was to stop
		return
	}
	x.code, x.cause = asError(err).Code, err
	x.h.engine.metrics.failed(x.code, x.status)
}

// source is where content comes from. It remembers why it could not be read.
type source struct {
	io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// diskFault reports whether an error of sending a file is one of reading it.
// The system does both in one call, so that only the error tells.
func diskFault(err error) bool {
	var reading *fs.PathError
	return errors.As(err, &reading) || errors.Is(err, syscall.EIO) || errors.Is(err, syscall.ESTALE)
}

// How much of a file is sent under one write deadline: a client that reads the
// largest piece in twice the network timeout is not cut. Pieces follow the
// client's pace, so that a slow one is seen to move. The first pieces say nothing
// about it, since they go into buffers on the way: a client that took a part of one
// in the time gets the rest in small ones.
const (
	smallestSegment = 16 << 10
	largestSegment  = 256 << 10
)

// nextSegment is the size of the piece after one of this size that took so long.
func nextSegment(size int64, took time.Duration) int64 {
	switch {
	case took > 200*time.Millisecond:
		return max(size/2, smallestSegment)
	case took < 20*time.Millisecond:
		return min(2*size, largestSegment)
	}
	return size
}

// ReadFrom keeps the server's way of sending files without copying them, in
// pieces so that deadlines follow progress.
func (x *exchange) ReadFrom(src io.Reader) (int64, error) {
	limited, ok := src.(*io.LimitedReader) // unwrapped: net looks through one only
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
	content := &source{Reader: limited.R}
	limited.R = content
	defer func() { limited.R = content.Reader }()
	if ok {
		return x.sendSegments(to, limited, func(error) bool { return content.err != nil })
	}
	n, err := io.Copy(struct{ io.Writer }{x}, limited)
	x.unreadable(content.err)
	return n, err
}

// sendFile is sendSegments for a file. A piece that did not fit in its time, and of
// which a part was sent, goes on with smaller ones.
func (x *exchange) sendFile(to io.ReaderFrom, file *os.File, content *io.LimitedReader) (total int64, err error) {
	begin, err := file.Seek(0, io.SeekCurrent)
	for err == nil && content.N > 0 {
		var n int64
		n, err = x.sendSegment(to, content, diskFault)
		total += n
		slow := n > 0 && errors.Is(err, os.ErrDeadlineExceeded) && x.r.Context().Err() == nil
		if slow && !x.deadlines.Hastened() {
			_, err = file.Seek(begin+total, io.SeekStart) // back to what was read and not sent
			x.segment = smallestSegment
			continue
		}
		if x.wrote(0, err); n == 0 {
			break
		}
	}
	return total, err
}

// sendSegments sends content. ours reports whether an error is one of reading it.
func (x *exchange) sendSegments(to io.ReaderFrom, content *io.LimitedReader, ours func(error) bool) (total int64, err error) {
	for content.N > 0 {
		n, err := x.sendSegment(to, content, ours)
		total += n
		x.wrote(0, err)
		if err != nil || n == 0 {
			return total, err
		}
	}
	return total, nil
}

// sendSegment sends one piece of content under one deadline.
func (x *exchange) sendSegment(to io.ReaderFrom, content *io.LimitedReader, ours func(error) bool) (int64, error) {
	x.deadlines.BeforeWrite()
	begun := time.Now()
	piece := io.LimitedReader{R: content.R, N: min(content.N, x.segment)}
	n, err := to.ReadFrom(&piece)
	content.N -= n
	x.wrote(n, nil)
	if err != nil && ours(err) {
		x.unreadable(err)
	}
	x.segment = nextSegment(x.segment, time.Since(begun))
	return n, err
}

// sentAll notes if content was shorter than its announced length.
func (x *exchange) sentAll() {
	if x.method == http.MethodHead || x.status != http.StatusOK && x.status != http.StatusPartialContent {
		return
	}
	length, err := strconv.ParseInt(x.Header().Get("Content-Length"), 10, 64)
	if err == nil && x.written < length {
		x.unreadable(fmt.Errorf("the content ended after %d of %d bytes", x.written, length))
	}
}
