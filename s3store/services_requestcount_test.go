package s3store_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// wire counts the requests that a client of S3 sends, below everything that
// could hide one.
type wire struct {
	next http.RoundTripper

	mu         sync.Mutex
	calls      map[string]int // by what they ask for
	up         int64          // bytes of bodies
	multiparts map[string]bool
	listed     []string // prefixes, since recount
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.note(r)
	return w.next.RoundTrip(r)
}

func (w *wire) note(r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.calls == nil {
		w.calls, w.multiparts = make(map[string]int), make(map[string]bool)
	}
	w.calls[operationOf(r)]++
	w.up += max(0, r.ContentLength)
	if r.URL.Query().Has("list-type") {
		w.listed = append(w.listed, r.URL.Query().Get("prefix"))
	}
	if r.URL.Query().Has("uploads") && r.Method == http.MethodPost {
		_, key, _ := strings.Cut(r.URL.Path[1:], "/") // /bucket/key
		w.multiparts[key] = true
	}
}

// operationOf tells calls apart: PUT of a part is not PUT of an object.
func operationOf(r *http.Request) string {
	for _, argument := range []string{"uploads", "partNumber", "uploadId", "list-type", "delete"} {
		if r.URL.Query().Has(argument) {
			return r.Method + " ?" + argument
		}
	}
	return r.Method
}

// recount begins to count at 0.
func (w *wire) recount() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.calls)
	w.up, w.listed = 0, nil
}

// counted returns the requests since recount, the bytes that went up with
// them, and a list of them for people.
func (w *wire) counted() (calls int, up int64, list string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.calls {
		calls += n
	}
	return calls, w.up, fmt.Sprint(w.calls)
}

// hasListed reports whether side records of a kind were listed since recount.
func (w *wire) hasListed(kind string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.listed, func(prefix string) bool { return strings.HasSuffix(prefix, "/"+kind+"/") })
}

// begun returns the keys for which a multipart upload was ever begun.
func (w *wire) begun() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Keys(w.multiparts))
}
