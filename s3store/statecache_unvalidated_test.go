package s3store_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd"
)

// pausing is a body that pauses before some offsets.
type pausing struct {
	src    io.Reader
	at     int64
	pauses map[int64]time.Duration
}

func (p *pausing) Read(b []byte) (int, error) {
	if pause := p.pauses[p.at]; pause > 0 {
		<-time.After(pause) // of the fake clock
	}
	for stop := range p.pauses {
		if stop > p.at {
			b = b[:min(int64(len(b)), stop-p.at)]
		}
	}
	n, err := p.src.Read(b)
	p.at += int64(n)
	return n, err
}

func (*pausing) Close() error { return nil }

// A cached state is validated for the second part of a request, while the first
// part is recorded. The validation does not take that for a change by another
// process.
func TestStateIsValidatedWhileAPartIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const part = 64 << 10
		const size = 3 * part
		c := newSimulation(t, 4<<20, part)
		c.store.PreferredPartSize = part
		composer := tusd.NewStoreComposer()
		c.store.UseIn(composer)
		composer.UseLocker(&tusd.LocalLocker{})
		handler, err := tusd.NewHandler(tusd.Config{
			BasePath: "/files/", StoreComposer: composer, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer handler.Shutdown(t.Context())

		created := serve(handler, http.MethodPost, "/files/", nil, "Upload-Length", strconv.Itoa(size))
		// The first part is recorded at once, as the request is old. The second
		// part comes while the record is being written.
		const stored = 6 * time.Second
		body := &pausing{src: bodyOf("upload", 0, size), pauses: map[int64]time.Duration{
			0: stored, part: c.service.latency * 3 / 2,
		}}
		path := created.Header().Get("Location")[len("http://example.com"):]
		answer := serve(handler, http.MethodPatch, path, body,
			"Upload-Offset", "0", "Content-Type", "application/offset+octet-stream")
		if answer.Code != http.StatusNoContent {
			t.Errorf("status %d: %s", answer.Code, answer.Body)
		}
	})
}

// serve answers a request without a connection.
func serve(handler http.Handler, method, path string, body io.Reader, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, body)
	r.Header.Set("Tus-Resumable", "1.0.0")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, r)
	return answer
}
