package awsv1

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go/aws/request"
)

// sentBody is the body of an object or part that the transport sends. Unlike the SDK's
// wrapper it implements io.WriterTo, so that a connection can send the bytes without a copy.
type sentBody struct {
	body   io.ReadSeeker
	closed atomic.Bool
	mu     sync.Mutex // held while the body is read
}

// setBody returns a handler that sets the body of a signed request.
func setBody(body io.ReadSeeker) func(*request.Request) {
	return func(r *request.Request) {
		if r.HTTPRequest.ContentLength > 0 {
			r.HTTPRequest.Body = &sentBody{body: body}
		}
	}
}

// Read implements io.Reader.
func (s *sentBody) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		return 0, io.EOF // the transport reports a body that is too short
	}
	return s.body.Read(p)
}

// WriteTo implements io.WriterTo.
func (s *sentBody) WriteTo(w io.Writer) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		return 0, nil
	}
	return io.Copy(unlessClosed{s, w}, s.body)
}

// Close implements io.Closer. It waits for a running Read or WriteTo, and prevents further
// ones.
func (s *sentBody) Close() error {
	s.closed.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	return nil
}

// unlessClosed is a writer that fails after the body was closed.
type unlessClosed struct {
	s *sentBody
	w io.Writer
}

// Write implements io.Writer.
func (u unlessClosed) Write(p []byte) (int, error) {
	if u.s.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	return u.w.Write(p)
}
