package protocoltest

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"
)

// inProcess sends requests to a handler without a socket, where what the handler
// allocates or logs matters and HTTP does not.
type inProcess struct {
	testing.TB
	handler http.Handler
}

// quietWriter is a ResponseWriter that keeps only the header and the status.
type quietWriter struct {
	header http.Header
	status int
}

func (w *quietWriter) Header() http.Header              { return w.header }
func (w *quietWriter) WriteHeader(status int)           { w.status = status }
func (w *quietWriter) Write(p []byte) (int, error)      { return len(p), nil }
func (w *quietWriter) Flush()                           {}
func (w *quietWriter) SetReadDeadline(time.Time) error  { return nil }
func (w *quietWriter) SetWriteDeadline(time.Time) error { return nil }
func (w *quietWriter) EnableFullDuplex() error          { return nil }

// do sends a request and returns the answer's header.
func (p inProcess) do(want int, r *http.Request) http.Header {
	p.Helper()
	w := &quietWriter{header: make(http.Header)}
	p.handler.ServeHTTP(w, r)
	if w.status != want {
		p.Fatalf("%s %s: status %d, want %d", r.Method, r.URL, w.status, want)
	}
	return w.header
}

// create makes an upload and returns its path.
func (p inProcess) create(length int64) string {
	p.Helper()
	location := p.do(http.StatusCreated, request(http.MethodPost, "/files/", nil, "Upload-Length", strconv.FormatInt(length, 10))).Get("Location")
	return location[len("http://example.com"):]
}

// createFull makes an upload that has all its bytes and returns its path.
func (p inProcess) createFull(data []byte) string {
	p.Helper()
	path := p.create(int64(len(data)))
	p.do(http.StatusNoContent, request(http.MethodPatch, path, bytes.NewReader(data),
		"Content-Type", "application/offset+octet-stream", "Upload-Offset", "0"))
	return path
}

// request makes a request of tus with names and values of header fields in turn.
func request(method, path string, body io.Reader, header ...string) *http.Request {
	r := httptest.NewRequest(method, path, body)
	r.Header.Set("Tus-Resumable", "1.0.0")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}
