package protocoltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
	"github.com/tus/tusd/internal/logtest"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/tusclient"
	"github.com/tus/tusd/internal/wire"
	"github.com/tus/tusd/storetest"
)

// downloads is a server with one complete upload.
type downloads struct {
	*testing.T
	handler *tusd.Handler
	log     *logtest.Buffer
	server  *httptest.Server
	path    string
}

// newDownloads starts a server over a composition, with HTTP/2 if h2 is true.
func newDownloads(t *testing.T, composer *tusd.StoreComposer, h2 bool, size int64) *downloads {
	t.Helper()
	d := &downloads{T: t, log: new(logtest.Buffer)}
	handler, err := tusd.NewHandler(tusd.Config{BasePath: "/files/", StoreComposer: composer, Logger: slog.New(slog.NewTextHandler(d.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	d.handler = handler
	d.server = httptest.NewUnstartedServer(handler)
	if h2 {
		wire.StartHTTP2(d.server)
	} else {
		d.server.Start()
	}
	t.Cleanup(func() {
		d.server.Close()
		handler.Shutdown(context.Background())
	})
	d.path = d.upload(size)
	return d
}

// upload makes a complete upload and returns its path.
func (d *downloads) upload(size int64) string {
	d.Helper()
	return tusclient.InProcess{TB: d, Handler: d.handler}.CreateFull(content(size))
}

// awaitLine waits for the log line of the first GET.
func (d *downloads) awaitLine() string {
	d.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if lines := d.log.LinesWith("method=GET"); len(lines) > 0 {
			return lines[0]
		}
	}
	d.Fatal("no line for the download")
	return ""
}

// contentServer is a function as a ContentServer.
type contentServer func(w http.ResponseWriter, r *http.Request) error

func (serve contentServer) ServeContent(_ context.Context, _ tusd.Upload, w http.ResponseWriter, r *http.Request) error {
	return serve(w, r)
}

var errDisk = &os.PathError{Op: "read", Path: "the-disk", Err: syscall.EIO}

// brokenContent is content that cannot be read behind some byte.
type brokenContent struct {
	*bytes.Reader
	at  int64
	err error
}

func (b *brokenContent) Read(p []byte) (int, error) {
	pos, _ := b.Seek(0, io.SeekCurrent)
	if pos >= b.at {
		return 0, b.err
	}
	return b.Reader.Read(p[:min(int64(len(p)), b.at-pos)])
}

// brokenContentStore replaces the content when it is read.
type brokenContentStore struct {
	*storetest.Memory
	content func() io.Reader
}

func (s *brokenContentStore) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	u, err := s.Memory.GetUpload(ctx, lease, id)
	if err != nil || lease != nil {
		return u, err
	}
	return breakingUpload{u, s.content}, nil
}

type breakingUpload struct {
	tusd.Upload
	content func() io.Reader
}

func (u breakingUpload) GetReader(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(u.content()), nil
}

// An error of the store is logged as an error of the server, in each way to send the bytes.
func TestUnreadableContentIsAFaultOfOurs(t *testing.T) {
	const size = 1 << 20
	whole := content(size)
	for name, c := range map[string]struct {
		ranges string
		serve  contentServer
		plain  func() io.Reader
		cause  string
	}{
		"reader": {serve: func(w http.ResponseWriter, r *http.Request) error {
			http.ServeContent(w, r, "", time.Time{}, &brokenContent{bytes.NewReader(whole), 600_000, errDisk})
			return nil
		}, cause: "input/output error"},
		"the first byte": {serve: func(w http.ResponseWriter, r *http.Request) error {
			http.ServeContent(w, r, "", time.Time{}, &brokenContent{bytes.NewReader(whole), 0, errDisk})
			return nil
		}, cause: "input/output error"},
		"ranges": {ranges: "bytes=0-99,500000-700000", serve: func(w http.ResponseWriter, r *http.Request) error {
			http.ServeContent(w, r, "", time.Time{}, &brokenContent{bytes.NewReader(whole), 600_000, errDisk})
			return nil
		}, cause: "input/output error"},
		"another error": {serve: func(w http.ResponseWriter, r *http.Request) error {
			http.ServeContent(w, r, "", time.Time{}, &brokenContent{bytes.NewReader(whole), 600_000, storetest.ErrInjected})
			return nil
		}, cause: "injected fault"},
		"an end too early": {serve: func(w http.ResponseWriter, r *http.Request) error {
			http.ServeContent(w, r, "", time.Time{}, &brokenContent{bytes.NewReader(whole), 600_000, io.EOF})
			return nil
		}, cause: "ended after 600000 of 1048576 bytes"},
		"an error behind the beginning": {serve: func(w http.ResponseWriter, r *http.Request) error {
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "12345")
			return storetest.ErrInjected
		}, cause: "injected fault"},
		"plain reader": {plain: func() io.Reader { return &brokenContent{bytes.NewReader(whole), 600_000, errDisk} }, cause: "input/output error"},
		"plain short":  {plain: func() io.Reader { return bytes.NewReader(whole[:100]) }, cause: "ended after 100 of 1048576 bytes"},
	} {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/h2=%v", name, h2), func(t *testing.T) {
				composer := tusd.NewStoreComposer()
				memory := storetest.NewMemory()
				memory.UseIn(composer)
				if composer.ContentServer = c.serve; c.plain != nil {
					composer.Core, composer.ContentServer = &brokenContentStore{memory, c.plain}, nil
				}
				d := newDownloads(t, composer, h2, size)
				d.wantFault(c.ranges, c.cause)
			})
		}
	}
}

// wantFault downloads and checks that the log and the metrics have an error of the server.
func (d *downloads) wantFault(ranges, cause string) {
	d.Helper()
	r, err := http.NewRequestWithContext(d.Context(), http.MethodGet, d.server.URL+d.path, nil)
	if err != nil {
		d.Fatal(err)
	}
	if ranges != "" {
		r.Header.Set("Range", ranges)
	}
	answer, err := d.server.Client().Do(r)
	status := 0
	if err == nil {
		status = answer.StatusCode
		if _, err = io.Copy(io.Discard, answer.Body); err == nil {
			d.Error("the client takes the answer for complete")
		}
		answer.Body.Close()
	}
	line := d.awaitLine()
	if !strings.Contains(line, "level=ERROR") || !strings.Contains(line, "code=ERR_INTERNAL_SERVER_ERROR") || !strings.Contains(line, cause) {
		d.Errorf("want an ERROR with its cause %q in the log, it is %s", cause, line)
	}
	count := tusd.ErrorCount{Code: tusd.ErrInternal.Code, Status: max(status, http.StatusOK)}
	if n := d.handler.Metrics().ErrorsTotal()[count]; n != 1 {
		d.Errorf("the error is counted %d times: %v", n, d.handler.Metrics().ErrorsTotal())
	}
}

// One system call reads a file and sends it. Its error tells whether reading or sending has
// failed.
func TestUnreadableFileIsAFaultOfOurs(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs a file that cannot be read, as Linux has one")
	}
	for _, h2 := range []bool{false, true} {
		composer := tusd.NewStoreComposer()
		storetest.NewMemory().UseIn(composer)
		composer.ContentServer = contentServer(func(w http.ResponseWriter, _ *http.Request) error {
			f, err := os.Open("/proc/self/mem") // nothing is at its beginning: EIO
			if err != nil {
				return err
			}
			defer f.Close()
			w.Header().Set("Content-Length", "100")
			io.CopyN(w, f, 100)
			return nil
		})
		newDownloads(t, composer, h2, 100).wantFault("", "input/output error")
	}
}

// A client that disconnects is no error of the server.
func TestClientThatLeavesADownloadIsNoFault(t *testing.T) {
	require.Long(t)
	for _, files := range []bool{false, true} {
		for _, h2 := range []bool{false, true} {
			composer := tusd.NewStoreComposer()
			if files {
				store := &filestore.FileStore{Path: t.TempDir()}
				t.Cleanup(func() { store.Close() })
				store.UseIn(composer)
			} else {
				storetest.NewMemory().UseIn(composer)
			}
			d := newDownloads(t, composer, h2, 64<<20)
			ctx, leave := context.WithCancel(t.Context())
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.server.URL+d.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := d.server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.CopyN(io.Discard, answer.Body, 100); err != nil {
				t.Fatal(err)
			}
			leave()
			answer.Body.Close()
			if line := d.awaitLine(); !strings.Contains(line, "level=INFO") || !strings.Contains(line, "code=ERR_CONNECTION_RESET") {
				t.Errorf("files %v, h2 %v: want information about the client, it is %s", files, h2, line)
			}
		}
	}
}

// removingStore removes an upload between two loads of one request.
type removingStore struct {
	*storetest.Memory
	loads    atomic.Int32
	brokenAt int32 // this load and the one behind it find the data gone and the record there
	goneAt   int32 // from this load on nothing is there
}

var errHalfGone = tusd.ErrNotFound.With(fmt.Errorf("%w: no data", tusd.ErrBroken))

func (s *removingStore) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	if lease == nil {
		switch n := s.loads.Add(1); {
		case n >= s.goneAt:
			return nil, tusd.ErrNotFound
		case s.brokenAt > 0 && n >= s.brokenAt:
			return nil, errHalfGone
		}
	}
	return s.Memory.GetUpload(ctx, lease, id)
}

func TestGETThatMeetsDELETEIs404(t *testing.T) {
	for name, store := range map[string]*removingStore{
		"between the data and the record":       {brokenAt: 1, goneAt: 3},
		"between loading and opening":           {goneAt: 2},
		"between loading and opening, half-way": {brokenAt: 2, goneAt: 4},
	} {
		store.Memory = storetest.NewMemory()
		composer := tusd.NewStoreComposer()
		store.UseIn(composer)
		composer.Core = store
		composer.ContentServer = contentServer(func(http.ResponseWriter, *http.Request) error {
			return fmt.Errorf("open data: %w", os.ErrNotExist)
		})
		d := newDownloads(t, composer, false, 100)
		w := httptest.NewRecorder()
		d.handler.ServeHTTP(recorder{w}, httptest.NewRequest(http.MethodGet, d.path, nil))
		if w.Code != http.StatusNotFound || w.Header().Get("ETag")+w.Header().Get("Content-Disposition") != "" {
			t.Errorf("%s: status %d, header %v; want 404", name, w.Code, w.Header())
		}
		if line := d.awaitLine(); !strings.Contains(line, "level=INFO") {
			t.Errorf("%s: want no alarm, it is %s", name, line)
		}
	}
}

// An upload that stays broken is logged as an error, and a download of an unreadable upload
// can be repeated.
func TestGETOfWhatStaysBrokenIsAnAlarm(t *testing.T) {
	store := &removingStore{Memory: storetest.NewMemory(), brokenAt: 1, goneAt: 1000}
	composer := tusd.NewStoreComposer()
	store.UseIn(composer)
	composer.Core = store
	d := newDownloads(t, composer, false, 100)
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(recorder{w}, httptest.NewRequest(http.MethodGet, d.path, nil))
	if line := d.awaitLine(); w.Code != http.StatusNotFound || !strings.Contains(line, "level=WARN") {
		t.Errorf("status %d, %s; want 404 and a warning", w.Code, line)
	}
	other := tusd.NewStoreComposer()
	storetest.NewMemory().UseIn(other)
	other.ContentServer = contentServer(func(http.ResponseWriter, *http.Request) error { return errors.New("no disk") })
	d = newDownloads(t, other, false, 100)
	w = httptest.NewRecorder()
	d.handler.ServeHTTP(recorder{w}, httptest.NewRequest(http.MethodGet, d.path, nil))
	if line := d.awaitLine(); w.Code != http.StatusServiceUnavailable || !strings.Contains(line, "level=ERROR") || !strings.Contains(line, "no disk") {
		t.Errorf("status %d, %s; want 503 and an error", w.Code, line)
	}
}

// The same with files, many times.
func TestGETBesideDELETEInADirectory(t *testing.T) {
	composer := tusd.NewStoreComposer()
	store := &filestore.FileStore{Path: t.TempDir(), Durability: filestore.None}
	t.Cleanup(func() { store.Close() })
	store.UseIn(composer)
	const size = 1000
	d := newDownloads(t, composer, false, size)
	met := 0
	for range 100 {
		path := d.upload(size)
		start := make(chan struct{})
		var readers sync.WaitGroup
		var found atomic.Int32
		for range 2 {
			readers.Go(func() {
				<-start
				for {
					w := httptest.NewRecorder()
					d.handler.ServeHTTP(recorder{w}, httptest.NewRequest(http.MethodGet, path, nil))
					switch {
					case w.Code == http.StatusNotFound:
						return
					case w.Code != http.StatusOK || w.Body.Len() != size:
						t.Errorf("status %d with %d bytes", w.Code, w.Body.Len())
						return
					}
					found.Add(1)
				}
			})
		}
		close(start)
		w := httptest.NewRecorder()
		d.handler.ServeHTTP(recorder{w}, tusclient.NewRequest(http.MethodDelete, path, nil))
		if w.Code != http.StatusNoContent {
			t.Errorf("DELETE: status %d", w.Code)
		}
		readers.Wait()
		if found.Load() > 0 {
			met++
		}
	}
	t.Logf("%d of 100 were read before they were removed", met)
	for _, level := range []string{"level=WARN", "level=ERROR"} {
		if lines := d.log.LinesWith(level); len(lines) > 0 {
			t.Errorf("%d alarms, the first: %s", len(lines), lines[0])
		}
	}
}
