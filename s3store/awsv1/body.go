package awsv1

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go/aws/request"
)

// sentBody is the body of an object or part as the transport gets it. The SDK
// would hide that it is an io.WriterTo, which a connection may use to take the
// bytes where they are.
type sentBody struct {
	body   io.ReadSeeker
	closed atomic.Bool
	mu     sync.Mutex // held while the body is read
}

// handOver makes body that of the request, once it is signed.
func handOver(body io.ReadSeeker) func(*request.Request) {
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
		return 0, io.EOF // the transport notices if that is too early
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

// Close implements io.Closer. It waits for the read or the write that is under
// way, and lets no other begin.
func (s *sentBody) Close() error {
	s.closed.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	return nil
}

// unlessClosed writes until the body is closed.
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
