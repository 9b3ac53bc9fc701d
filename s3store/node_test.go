package s3store_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/storetest"
)

// node is a server over a bucket, and a client of it.
type node struct {
	testing.TB
	handler *tusd.Handler
	server  *httptest.Server
}

func startNode(tb testing.TB, store *s3store.Store, locker tusd.Locker) *node {
	tb.Helper()
	composer := tusd.NewStoreComposer()
	store.UseIn(composer)
	composer.UseLocker(locker)
	return startNodeWith(tb, tusd.Config{StoreComposer: composer})
}

func startNodeWith(tb testing.TB, config tusd.Config) *node {
	tb.Helper()
	if config.BasePath = "/files/"; config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	handler, err := tusd.NewHandler(config)
	if err != nil {
		tb.Fatal(err)
	}
	n := &node{tb, handler, httptest.NewServer(handler)}
	tb.Cleanup(n.shutDown)
	return n
}

// shutDown ends the server and its work in the background, which could otherwise reach the
// service of a later test at the same address. Idempotent.
func (n *node) shutDown() {
	n.server.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := n.handler.Shutdown(ctx); err != nil {
		n.Errorf("the server does not end: %v", err)
	}
}

// request sends a request, and returns the answer without its body.
func (n *node) request(method, path string, body io.Reader, header ...string) *http.Response {
	n.Helper()
	r, err := http.NewRequestWithContext(n.Context(), method, n.server.URL+path, body)
	if err != nil {
		n.Fatal(err)
	}
	r.Header.Set("Tus-Resumable", "1.0.0")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := n.server.Client().Do(r)
	if err != nil {
		n.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		n.Fatal(err)
	}
	return answer
}

func (n *node) want(status int, answer *http.Response) *http.Response {
	n.Helper()
	if answer.StatusCode != status {
		n.Fatalf("%s %s: status %d, want %d", answer.Request.Method, answer.Request.URL, answer.StatusCode, status)
	}
	return answer
}

// create creates an upload and returns its path.
func (n *node) create(size int64, header ...string) string {
	n.Helper()
	header = append(header, "Upload-Length", strconv.FormatInt(size, 10))
	location := n.want(http.StatusCreated, n.request(http.MethodPost, "/files/", nil, header...)).Header.Get("Location")
	return location[len(n.server.URL):]
}

// patch sends bytes of the content, and fails unless all are stored.
func (n *node) patch(path string, offset, to int64) {
	n.Helper()
	answer := n.want(http.StatusNoContent, n.tryPatch(path, offset, to))
	if got := answer.Header.Get("Upload-Offset"); got != strconv.FormatInt(to, 10) {
		n.Fatalf("Upload-Offset is %s, want %d", got, to)
	}
}

func (n *node) tryPatch(path string, offset, to int64) *http.Response {
	n.Helper()
	return n.request(http.MethodPatch, path, storetest.ContentReader("content", offset, to),
		"Content-Type", "application/offset+octet-stream", "Upload-Offset", fmt.Sprint(offset))
}

// offset returns the offset that HEAD answers. It repeats the HEAD while the server finishes
// the upload in the background and answers 423.
func (n *node) offset(path string) int64 {
	n.Helper()
	offset, err := offsetOf(n.headWhenUnlocked(path))
	if err != nil {
		n.Fatal(err)
	}
	return offset
}

func offsetOf(head *http.Response) (int64, error) {
	if head.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("HEAD is answered with status %d", head.StatusCode)
	}
	return strconv.ParseInt(head.Header.Get("Upload-Offset"), 10, 64)
}

// wantContent downloads an upload and compares its bytes.
func (n *node) wantContent(path string, size int64) {
	n.Helper()
	r, err := http.NewRequestWithContext(n.Context(), http.MethodGet, n.server.URL+path, nil)
	if err != nil {
		n.Fatal(err)
	}
	answer, err := n.server.Client().Do(r)
	if err != nil {
		n.Fatal(err)
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		n.Fatalf("download: status %d, error %v", answer.StatusCode, err)
	}
	want := make([]byte, size)
	storetest.Content("content", 0, want)
	if string(got) != string(want) {
		n.Fatalf("the download has %d bytes, want %d, or others", len(got), size)
	}
}
