package s3store_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// requestCounter counts the HTTP requests that a client of S3 sends, with its retries.
type requestCounter struct {
	next http.RoundTripper

	mu         sync.Mutex
	calls      map[string]int // by operation
	up         int64          // bytes of request bodies
	multiparts map[string]bool
	listed     []string // prefixes, since recount
}

// RoundTrip implements http.RoundTripper.
func (w *requestCounter) RoundTrip(r *http.Request) (*http.Response, error) {
	w.note(r)
	return w.next.RoundTrip(r)
}

func (w *requestCounter) note(r *http.Request) {
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

// operationOf names the operation of a request: its method and its main argument.
func operationOf(r *http.Request) string {
	for _, argument := range []string{"uploads", "partNumber", "uploadId", "list-type", "delete"} {
		if r.URL.Query().Has(argument) {
			return r.Method + " ?" + argument
		}
	}
	return r.Method
}

// recount resets the counts.
func (w *requestCounter) recount() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.calls)
	w.up, w.listed = 0, nil
}

// counted returns the number of requests since recount, the bytes of their bodies,
// and their operations as text.
func (w *requestCounter) counted() (calls int, up int64, list string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.calls {
		calls += n
	}
	return calls, w.up, fmt.Sprint(w.calls)
}

// hasListed reports whether side records of a kind were listed since recount.
func (w *requestCounter) hasListed(kind string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.listed, func(prefix string) bool { return strings.HasSuffix(prefix, "/"+kind+"/") })
}

// created returns the keys for which a multipart upload was ever created.
func (w *requestCounter) created() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Keys(w.multiparts))
}
