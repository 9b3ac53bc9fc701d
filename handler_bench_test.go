package tusd_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
	"github.com/tus/tusd/internal/require"
)

// The benchmarks run operations in process, without sockets: what is measured
// is the handler and the store.
//
//	go test -run '^$' -bench . -benchmem .

// quietWriter is a ResponseWriter that keeps only what the next step needs.
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

// bench drives one handler.
type bench struct {
	b       testing.TB
	handler http.Handler
}

// benchStores are the stores that operations are measured on.
var benchStores = []struct {
	name  string
	level filestore.Durability
}{
	{"none", filestore.None},
	{"ack", filestore.Ack},
}

func newBench(b testing.TB, level filestore.Durability) *bench {
	composer := tusd.NewStoreComposer()
	store := &filestore.FileStore{Path: b.TempDir(), Durability: level}
	b.Cleanup(func() { store.Close() })
	store.UseIn(composer)
	handler, err := tusd.NewHandler(tusd.Config{
		BasePath:      "/files/",
		StoreComposer: composer,
		Logger:        slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { handler.Shutdown(b.Context()) })
	return &bench{b: b, handler: handler}
}

// do sends a request and returns the answer's header.
func (n *bench) do(want int, r *http.Request) http.Header {
	w := &quietWriter{header: make(http.Header)}
	n.handler.ServeHTTP(w, r)
	if w.status != want {
		n.b.Fatalf("%s %s: status %d, want %d", r.Method, r.URL, w.status, want)
	}
	return w.header
}

// create makes an upload and returns its path.
func (n *bench) create(length int64) string {
	location := n.do(http.StatusCreated, request(http.MethodPost, "/files/", nil, "Upload-Length", strconv.FormatInt(length, 10))).Get("Location")
	return location[len("http://example.com"):]
}

func request(method, path string, body io.Reader, header ...string) *http.Request {
	r := httptest.NewRequest(method, path, body)
	r.Header.Set("Tus-Resumable", "1.0.0")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// patcher makes one PATCH after the other out of one request.
type patcher struct {
	r      *http.Request
	chunk  []byte
	offset int64
}

func newPatcher(path string, size int) *patcher {
	chunk := make([]byte, size)
	return &patcher{r: request(http.MethodPatch, path, bytes.NewReader(chunk), "Content-Type", "application/offset+octet-stream"), chunk: chunk}
}

// restart goes over to another upload.
func (p *patcher) restart(path string) {
	p.r.URL.Path, p.offset = path, 0
}

func (p *patcher) next() *http.Request {
	p.r.Header.Set("Upload-Offset", strconv.FormatInt(p.offset, 10))
	p.r.Body = io.NopCloser(bytes.NewReader(p.chunk))
	p.offset += int64(len(p.chunk))
	return p.r
}

// forStores runs one benchmark on every store.
func forStores(b *testing.B, run func(b *testing.B, n *bench)) {
	for _, store := range benchStores {
		b.Run(store.name, func(b *testing.B) {
			n := newBench(b, store.level)
			b.ReportAllocs()
			run(b, n)
		})
	}
}

func BenchmarkCreate(b *testing.B) {
	forStores(b, func(b *testing.B, n *bench) {
		for b.Loop() {
			n.create(4096)
		}
	})
}

func BenchmarkHead(b *testing.B) {
	forStores(b, func(b *testing.B, n *bench) {
		head := request(http.MethodHead, n.create(4096), nil)
		for b.Loop() {
			n.do(http.StatusOK, head)
		}
	})
}

func BenchmarkPatch4KiB(b *testing.B) {
	forStores(b, func(b *testing.B, n *bench) {
		p := newPatcher(n.create(1<<34), 4096)
		for b.Loop() {
			n.do(http.StatusNoContent, p.next())
		}
	})
}

func BenchmarkSmall(b *testing.B) {
	forStores(b, func(b *testing.B, n *bench) {
		p := newPatcher("/", 4096)
		for b.Loop() {
			p.restart(n.create(4096))
			n.do(http.StatusNoContent, p.next())
		}
	})
}

func BenchmarkPatch64MiB(b *testing.B) {
	forStores(b, func(b *testing.B, n *bench) {
		const length = 64 << 20
		b.SetBytes(length)
		p := newPatcher("/", length)
		for b.Loop() {
			p.restart(n.create(length))
			n.do(http.StatusNoContent, p.next())
			n.do(http.StatusNoContent, request(http.MethodDelete, p.r.URL.Path, nil))
		}
	})
}

// The bounds of allocations for each operation, in the handler and the store.
// None grows with the body.
func TestAllocations(t *testing.T) {
	require.NoRace(t)
	for _, store := range benchStores {
		t.Run(store.name, func(t *testing.T) {
			n := newBench(t, store.level)
			head := request(http.MethodHead, n.create(1<<20), nil)
			atMost(t, "HEAD", 16, func() { n.do(http.StatusOK, head) })
			small := newPatcher(n.create(1<<30), 4096)
			atMost(t, "PATCH of 4 KiB", 30, func() { n.do(http.StatusNoContent, small.next()) })
			atMost(t, "POST", 45, func() { n.create(1) })
			whole := newPatcher(n.create(4096), 4096)
			n.do(http.StatusNoContent, whole.next())
			get := request(http.MethodGet, whole.r.URL.Path, nil)
			atMost(t, "GET", 47, func() { n.do(http.StatusOK, get) })
			atMost(t, "POST and DELETE", 95, func() {
				n.do(http.StatusNoContent, request(http.MethodDelete, n.create(1), nil))
			})
			large := newPatcher(n.create(1<<30), 16<<20)
			atMost(t, "PATCH of 16 MiB", 30, func() { n.do(http.StatusNoContent, large.next()) })
		})
	}
}

// atMost counts in rounds until one is within the bound: what a collection takes out
// of pools is allocated again, and more often so on a busy machine.
func atMost(t *testing.T, what string, bound float64, f func()) {
	t.Helper()
	n := testing.AllocsPerRun(20, f)
	for round := 1; n > bound && round < 5; round++ {
		n = testing.AllocsPerRun(20, f)
	}
	t.Logf("%s: %v allocations", what, n)
	if n > bound {
		t.Errorf("%s: %v allocations, want at most %v", what, n, bound)
	}
}
