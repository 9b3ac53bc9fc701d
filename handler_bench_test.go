package tusd_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/tusclient"
)

// The benchmarks call the handler directly, without sockets: they measure the handler
// and the store.
//
//	go test -run '^$' -bench . -benchmem .

// benchStores are the stores of the benchmarks.
var benchStores = []struct {
	name  string
	level filestore.Durability
}{
	{"none", filestore.None},
	{"ack", filestore.Ack},
}

func newBench(b testing.TB, level filestore.Durability) tusclient.InProcess {
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
	return tusclient.InProcess{TB: b, Handler: handler}
}

// patcher makes consecutive PATCHes from one request.
type patcher struct {
	r      *http.Request
	chunk  []byte
	offset int64
}

func newPatcher(path string, size int) *patcher {
	chunk := make([]byte, size)
	return &patcher{r: tusclient.NewRequest(http.MethodPatch, path, bytes.NewReader(chunk), "Content-Type", "application/offset+octet-stream"), chunk: chunk}
}

// restart starts another upload.
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
func forStores(b *testing.B, run func(b *testing.B, n tusclient.InProcess)) {
	for _, store := range benchStores {
		b.Run(store.name, func(b *testing.B) {
			n := newBench(b, store.level)
			b.ReportAllocs()
			run(b, n)
		})
	}
}

func BenchmarkCreate(b *testing.B) {
	forStores(b, func(b *testing.B, n tusclient.InProcess) {
		for b.Loop() {
			n.Create(4096)
		}
	})
}

func BenchmarkHead(b *testing.B) {
	forStores(b, func(b *testing.B, n tusclient.InProcess) {
		head := tusclient.NewRequest(http.MethodHead, n.Create(4096), nil)
		for b.Loop() {
			n.Do(http.StatusOK, head)
		}
	})
}

func BenchmarkPatch4KiB(b *testing.B) {
	forStores(b, func(b *testing.B, n tusclient.InProcess) {
		p := newPatcher(n.Create(1<<34), 4096)
		for b.Loop() {
			n.Do(http.StatusNoContent, p.next())
		}
	})
}

func BenchmarkSmall(b *testing.B) {
	forStores(b, func(b *testing.B, n tusclient.InProcess) {
		p := newPatcher("/", 4096)
		for b.Loop() {
			p.restart(n.Create(4096))
			n.Do(http.StatusNoContent, p.next())
		}
	})
}

func BenchmarkPatch64MiB(b *testing.B) {
	forStores(b, func(b *testing.B, n tusclient.InProcess) {
		const length = 64 << 20
		b.SetBytes(length)
		p := newPatcher("/", length)
		for b.Loop() {
			p.restart(n.Create(length))
			n.Do(http.StatusNoContent, p.next())
			n.Do(http.StatusNoContent, tusclient.NewRequest(http.MethodDelete, p.r.URL.Path, nil))
		}
	})
}

// TestAllocations checks bounds of the allocations of each operation, in the handler and
// the store. None grows with the body.
func TestAllocations(t *testing.T) {
	require.NoRace(t)
	for _, store := range benchStores {
		t.Run(store.name, func(t *testing.T) {
			n := newBench(t, store.level)
			head := tusclient.NewRequest(http.MethodHead, n.Create(1<<20), nil)
			atMost(t, "HEAD", 16, func() { n.Do(http.StatusOK, head) })
			small := newPatcher(n.Create(1<<30), 4096)
			atMost(t, "PATCH of 4 KiB", 30, func() { n.Do(http.StatusNoContent, small.next()) })
			atMost(t, "POST", 45, func() { n.Create(1) })
			whole := newPatcher(n.Create(4096), 4096)
			n.Do(http.StatusNoContent, whole.next())
			get := tusclient.NewRequest(http.MethodGet, whole.r.URL.Path, nil)
			atMost(t, "GET", 47, func() { n.Do(http.StatusOK, get) })
			atMost(t, "POST and DELETE", 95, func() {
				n.Do(http.StatusNoContent, tusclient.NewRequest(http.MethodDelete, n.Create(1), nil))
			})
			large := newPatcher(n.Create(1<<30), 16<<20)
			atMost(t, "PATCH of 16 MiB", 30, func() { n.Do(http.StatusNoContent, large.next()) })
		})
	}
}

// atMost measures up to five rounds until one is within the bound. A garbage collection
// empties pools, which adds allocations, more often on a busy machine.
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
