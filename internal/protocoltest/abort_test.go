package protocoltest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/storetest"
)

// lateAbort is a body that has ended when a newer request asks for the upload,
// but whose end the handler has not seen yet.
type lateAbort struct {
	io.ReadCloser
	ask     func() // lets the newer request ask
	aborted <-chan struct{}
	once    sync.Once
}

func (b *lateAbort) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.once.Do(func() {
			b.ask()
			<-b.aborted
		})
	}
	return n, err
}

// deadlineWatch tells when a read deadline is set that has passed or is near.
type deadlineWatch struct {
	http.ResponseWriter
	aborted chan struct{}
	once    sync.Once
}

func (w *deadlineWatch) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *deadlineWatch) SetReadDeadline(t time.Time) error {
	err := http.NewResponseController(w.ResponseWriter).SetReadDeadline(t)
	if !t.IsZero() && time.Until(t) < time.Second {
		w.once.Do(func() { close(w.aborted) })
	}
	return err
}

// A deadline that passes behind the end of a body ends the context of all that
// follows on the connection: nothing may follow.
func TestAbortBehindTheEndOfABody(t *testing.T) {
	composer := tusd.NewStoreComposer()
	composer.UseCore(storetest.NewMemory())
	handler, err := tusd.NewHandler(tusd.Config{BasePath: "/", StoreComposer: composer})
	if err != nil {
		t.Fatal(err)
	}
	var server *httptest.Server
	var newer sync.WaitGroup
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch {
			watch := &deadlineWatch{ResponseWriter: w, aborted: make(chan struct{})}
			w = watch
			r.Body = &lateAbort{ReadCloser: r.Body, aborted: watch.aborted, ask: func() {
				newer.Go(func() { tusRequest(t, server.URL, http.MethodHead, r.URL.Path, "") })
			}}
		}
		handler.ServeHTTP(w, r)
	}))
	defer server.Close()
	created := tusRequest(t, server.URL, http.MethodPost, "/", "", "Upload-Length", "10")
	path := strings.TrimPrefix(created.Header.Get("Location"), server.URL)
	answer := tusRequest(t, server.URL, http.MethodPatch, path, "a", "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream")
	newer.Wait()
	if !answer.Close {
		t.Errorf("status %d, and the connection is kept", answer.StatusCode)
	}
}

func tusRequest(t *testing.T, server, method, path, body string, header ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, server+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Tus-Resumable", "1.0.0")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Error(err)
		return &http.Response{}
	}
	answer.Body.Close()
	return answer
}
