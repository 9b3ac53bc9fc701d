package storetest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"time"

	"github.com/tus/tusd"
)

// testServer is an HTTP server with a handler on the case's store. The case does not use
// the store while the server runs.
type testServer struct {
	e       *env
	handler *tusd.Handler
	server  *httptest.Server
}

// serve restarts the store and starts a server for it; faults may be nil.
func (e *env) serve(faults *Faults) *testServer {
	e.Helper()
	s := &testServer{e: e, handler: e.newHandler(faults)}
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.handler.ServeHTTP(w, r)
	}))
	return s
}

// newHandler restarts the store and makes a handler for it. If Open fails, it tries again
// once, as an operator does.
func (e *env) newHandler(faults *Faults) *tusd.Handler {
	e.Helper()
	for range 2 {
		e.release()
		e.composer = e.harness.Reopen(e.TB, e.composer)
		composer := e.composer
		if faults != nil {
			composer = faults.Wrap(composer)
		}
		handler, err := tusd.NewHandler(tusd.Config{
			StoreComposer:      composer,
			AcquireLockTimeout: time.Second,
			Logger:             slog.New(slog.DiscardHandler),
		})
		if err == nil {
			return handler
		}
		e.Logf("open: %v", err)
	}
	e.Fatal("the handler cannot be made")
	return nil
}

// restart replaces the handler, as an operator does when errors persist. No
// request may be running.
func (s *testServer) restart() {
	s.e.Helper()
	s.shutdown()
	s.handler = s.e.newHandler(nil)
}

func (s *testServer) shutdown() {
	s.e.Helper()
	ctx, cancel := context.WithTimeout(s.e.Context(), clientTimeout)
	defer cancel()
	s.e.must(s.handler.Shutdown(ctx))
}

// stop ends the handler. The case can use the store again, as after a restart.
func (s *testServer) stop() {
	s.e.Helper()
	s.shutdown()
	s.server.CloseClientConnections()
	s.server.Close()
	s.server.Client().CloseIdleConnections()
	s.e.reopen()
}

// send sends one request of the protocol; header has names and values.
func (s *testServer) send(ctx context.Context, method, url string, body io.Reader, header ...string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Tus-Resumable", "1.0.0")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return s.server.Client().Do(r)
}

// request sends a request that must succeed, and returns status, header and body.
func (s *testServer) request(method, url string, header ...string) (status int, h http.Header, body string) {
	s.e.Helper()
	r, err := s.send(s.e.Context(), method, url, nil, header...)
	s.e.must(err)
	defer r.Body.Close()
	all, err := io.ReadAll(r.Body)
	s.e.must(err)
	return r.StatusCode, r.Header, string(all)
}

// tusClient uploads the Content of the id that the server chooses, and retries
// after errors as clients of the protocol do. It is not the client of the other tests,
// internal/tusclient: this package is for authors of stores and imports only the root.
type tusClient struct {
	*testServer
	size int64

	url       string // of the upload, once it is known
	creations int    // creations that were sent
	failures  int    // series of errors; a request that succeeds ends one
	failing   bool
	last      error
}

const (
	clientChunk   = faultChunk
	clientTimeout = 20 * time.Second
)

// upload runs until the server's offset is the length of the upload.
func (c *tusClient) upload(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()
	for {
		done, err := c.step(ctx)
		switch {
		case err == nil && done:
			return nil
		case err == nil:
			c.failing = false
			continue
		case ctx.Err() != nil:
			return fmt.Errorf("gave up: %w", c.last)
		}
		c.fail(err)
	}
}

// fail counts a series of errors. If the retry fails, too, it restarts the server:
// that is faster than the server's own retries, whose backoff grows.
func (c *tusClient) fail(err error) {
	c.last = err
	if c.failing {
		c.restart()
		return
	}
	c.failures++
	c.failing = true
}

// step creates the upload, or requests the offset and sends a chunk.
func (c *tusClient) step(ctx context.Context) (done bool, err error) {
	if c.url == "" {
		return false, c.create(ctx)
	}
	offset, err := c.offset(ctx)
	if err != nil || offset == c.size {
		return offset == c.size, err
	}
	return false, c.patch(ctx, offset, min(offset+clientChunk, c.size))
}

func (c *tusClient) create(ctx context.Context) error {
	c.creations++
	r, err := c.send(ctx, http.MethodPost, c.server.URL, nil, "Upload-Length", strconv.FormatInt(c.size, 10))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if location := r.Header.Get("Location"); location != "" { // also in an error answer: the upload exists
		c.url = location
	}
	return wantStatus(r, http.StatusCreated)
}

func (c *tusClient) offset(ctx context.Context) (int64, error) {
	r, err := c.send(ctx, http.MethodHead, c.url, nil)
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	if err := wantStatus(r, http.StatusOK); err != nil {
		return 0, err
	}
	return strconv.ParseInt(r.Header.Get("Upload-Offset"), 10, 64)
}

func (c *tusClient) patch(ctx context.Context, from, to int64) error {
	r, err := c.send(ctx, http.MethodPatch, c.url, ContentReader(c.id(), from, to),
		"Upload-Offset", strconv.FormatInt(from, 10), "Content-Type", "application/offset+octet-stream")
	if err != nil {
		return err
	}
	defer r.Body.Close()
	return wantStatus(r, http.StatusNoContent)
}

// id is the last part of the upload's URL.
func (c *tusClient) id() string { return path.Base(c.url) }

func wantStatus(r *http.Response, want int) error {
	if r.StatusCode != want {
		return fmt.Errorf("%s answered %d, want %d", r.Request.Method, r.StatusCode, want)
	}
	return nil
}
