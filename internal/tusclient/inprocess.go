package tusclient

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"
)

// InProcess sends requests of tus 1.0 to a handler without a connection, for tests that
// measure what the handler allocates. An answer with another status ends the test.
type InProcess struct {
	testing.TB
	Handler http.Handler // with the base path /files/
}

// Do sends a request and returns the header of the answer.
func (p InProcess) Do(want int, r *http.Request) http.Header {
	p.Helper()
	w := &Discard{Fields: make(http.Header)}
	p.Handler.ServeHTTP(w, r)
	if w.Status != want {
		p.Fatalf("%s %s: status %d, want %d", r.Method, r.URL, w.Status, want)
	}
	return w.Fields
}

// Create makes an upload and returns its path.
func (p InProcess) Create(length int64) string {
	p.Helper()
	location := p.Do(http.StatusCreated, NewRequest(http.MethodPost, Uploads, nil, "Upload-Length", strconv.FormatInt(length, 10))).Get("Location")
	return location[len("http://example.com"):]
}

// CreateFull makes an upload with all its bytes and returns its path.
func (p InProcess) CreateFull(data []byte) string {
	p.Helper()
	path := p.Create(int64(len(data)))
	p.Do(http.StatusNoContent, NewRequest(http.MethodPatch, path, bytes.NewReader(data),
		"Content-Type", "application/offset+octet-stream", "Upload-Offset", "0"))
	return path
}

// NewRequest makes a request of tus 1.0 for a handler. header has names and values in
// turn.
func NewRequest(method, path string, body io.Reader, header ...string) *http.Request {
	r := httptest.NewRequest(method, path, body)
	r.Header.Set("Tus-Resumable", "1.0.0")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// Discard is a ResponseWriter that keeps only the header and the status.
type Discard struct {
	Fields http.Header
	Status int
}

func (w *Discard) Header() http.Header              { return w.Fields }
func (w *Discard) WriteHeader(status int)           { w.Status = status }
func (w *Discard) Write(p []byte) (int, error)      { return len(p), nil }
func (w *Discard) Flush()                           {}
func (w *Discard) SetReadDeadline(time.Time) error  { return nil }
func (w *Discard) SetWriteDeadline(time.Time) error { return nil }
func (w *Discard) EnableFullDuplex() error          { return nil }
