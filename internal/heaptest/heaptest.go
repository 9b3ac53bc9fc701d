// Package heaptest attacks a handler with requests whose query, metadata and lists are
// large, and asserts that the heap shrinks again: state between requests is bounded in
// bytes and does not keep the memory of requests alive. It calls the handler without a
// network and a client, whose memory would count, too.
package heaptest

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/tus/tusd/internal/require"
)

// Target is the handler that is attacked.
type Target struct {
	http.Handler // with the base path /files/

	// DropStorage empties a simulated disk or service that is in memory; nil: there is
	// none.
	DropStorage func()
	// MaxRetained is the number of bytes that may remain in memory: the budgets of
	// caches, and some tolerance.
	MaxRetained int64
}

// Run runs each attack on a new target.
func Run(t *testing.T, open func(t *testing.T) Target, attacks []Attack) {
	require.NoRace(t)
	require.Long(t)
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			target := open(t)
			a.run(t, target, 3) // one-time allocations
			before := liveHeap(target)
			a.run(t, target, a.times)
			after := liveHeap(target)
			t.Logf("%d KiB are left of %d", (after-before)>>10, int64(a.times*a.size)>>10)
			if after-before > target.MaxRetained {
				t.Errorf("%d KiB are left, want at most %d", (after-before)>>10, target.MaxRetained>>10)
			}
		})
	}
}

// liveHeap returns the bytes of the heap that are in use, without the simulated storage.
func liveHeap(target Target) int64 {
	if target.DropStorage != nil {
		target.DropStorage()
	}
	defer runtime.KeepAlive(target)
	return InUse()
}

// Attack makes requests of times*size bytes together, which must be far more than a
// target may retain.
type Attack struct {
	name  string
	times int
	size  int
	run   func(t *testing.T, target Target, times int)
}

const (
	query    = 64 << 10 // bytes
	metadata = 10 << 10 // bytes of the value; in base64 below the default of MaxMetaData

	references = 130 // partials of a final: their URLs are below the default of MaxMetaData
)

// Requests are large requests.
var Requests = []Attack{
	{"HEAD", 300, query, unknown(http.MethodHead)},
	{"PATCH", 300, query, unknown(http.MethodPatch)},
	{"GET", 300, query, unknown(http.MethodGet)},
	{"DELETE", 300, query, unknown(http.MethodDelete)},
	{"override", 300, query, func(t *testing.T, target Target, times int) {
		for range times {
			target.do(t, 404, http.MethodPost, long(fresh()), nil, "X-Http-Method-Override", "HEAD")
		}
	}},
	{"POST", 300, query, func(t *testing.T, target Target, times int) {
		for range times {
			target.do(t, 201, http.MethodPost, long(""), nil, "Upload-Length", "1")
		}
	}},
	{"uploads", 300, query, func(t *testing.T, target Target, times int) {
		for range times {
			at := target.create(t, "Upload-Length", "1")
			target.do(t, 204, http.MethodPatch, at+"?"+strings.Repeat("q", query), strings.NewReader("x"),
				"Upload-Offset", "0", "Content-Type", "application/offset+octet-stream")
			target.do(t, 200, http.MethodHead, at+"?"+strings.Repeat("q", query), nil)
		}
	}},
}

// IDs are requests for many long ids, for lockers.
var IDs = []Attack{
	{"ids", 12_000, 800, func(t *testing.T, target Target, times int) { // of the largest size
		for range times {
			target.do(t, 404, http.MethodHead, "/files/"+strings.Repeat(strings.Repeat("i", 200)+"/", 4)+fresh(), nil)
		}
	}},
}

// Records are uploads with large records, for stores that keep them in memory
// between requests.
var Records = []Attack{
	{"metadata", 700, 2 * metadata, func(t *testing.T, target Target, times int) {
		for range times {
			at := target.create(t, "Upload-Length", "1", "Upload-Metadata", "name "+strings.Repeat("QUJD", metadata/3))
			target.do(t, 204, http.MethodPatch, at, strings.NewReader("x"), "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream")
			target.do(t, 200, http.MethodHead, at, nil)
		}
	}},
	{"finals", 500, references * (100 + 40), func(t *testing.T, target Target, times int) {
		partial := target.create(t, "Upload-Length", "0", "Upload-Concat", "partial")
		base, id := partial[:len("/files/")], partial[len("/files/"):]
		ref := fmt.Sprintf(" %s%%%s", base, strings.ReplaceAll(fmt.Sprintf("% x", id), " ", "%"))
		for range times {
			list := strings.Repeat(ref, references)
			at := target.create(t, "Upload-Concat", "final;"+list[1:], "Upload-Metadata", "name "+fresh())
			target.do(t, 200, http.MethodHead, at, nil)
		}
	}},
}

// unknown requests uploads that do not exist, as a proxy does.
func unknown(method string) func(t *testing.T, target Target, times int) {
	return func(t *testing.T, target Target, times int) {
		for range times {
			target.do(t, 404, method, long(fresh()), nil, "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream",
				"X-Forwarded-For", "192.0.2.1", "X-Request-Id", fresh())
		}
	}
}

func long(id string) string { return "/files/" + id + "?" + strings.Repeat("q", query) }

// fresh returns a new string in letters of base64.
func fresh() string { return fmt.Sprintf("%016d", time.Now().UnixNano()%1e16) }

func (target Target) create(t *testing.T, header ...string) (path string) {
	t.Helper()
	at := target.do(t, 201, http.MethodPost, "/files/", nil, header...).Get("Location")
	return strings.TrimPrefix(at, "http://example.com")
}

// do makes a request and returns the header of the answer.
func (target Target) do(t *testing.T, want int, method, path string, body io.Reader, header ...string) http.Header {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, body)
	r.Header.Set("Tus-Resumable", "1.0.0")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	target.ServeHTTP(w, r)
	if w.Code != want {
		t.Fatalf("%s %.60s: status %d (%s), want %d", method, path, w.Code, w.Body, want)
	}
	return w.Header()
}

// InUse returns the bytes of the heap that are reachable. What other goroutines drop during
// a collection counts in it, so it is the lowest value of some. A sync.Pool frees its content
// in the second collection.
func InUse() int64 {
	runtime.GC()
	least := int64(math.MaxInt64)
	for range 4 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		least = min(least, int64(m.HeapAlloc))
	}
	return least
}

// Pins reports whether part is a slice of whole and so keeps it in memory.
func Pins(part, whole string) bool {
	start, at := uintptr(unsafe.Pointer(unsafe.StringData(whole))), uintptr(unsafe.Pointer(unsafe.StringData(part)))
	return at >= start && at < start+uintptr(len(whole))
}
