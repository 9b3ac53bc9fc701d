package hooks

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/tus/tusd"
)

// accessCache has the decisions of pre-access that hold for some time. The zero value is ready
// to use.
type accessCache struct {
	mu    sync.Mutex
	until map[[sha256.Size]byte]time.Time
}

const (
	// maxAllowed limits the decisions in memory: 1 MiB.
	maxAllowed = 10_000
	// longestAllow is the longest time for which a decision holds, in seconds.
	longestAllow = 24 * 60 * 60
)

func (c *accessCache) allowed(key [sha256.Size]byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	until, ok := c.until[key]
	if ok && !time.Now().Before(until) {
		delete(c.until, key)
		return false
	}
	return ok
}

func (c *accessCache) allow(key [sha256.Size]byte, seconds int) {
	if seconds <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.until == nil {
		c.until = make(map[[sha256.Size]byte]time.Time)
	}
	if len(c.until) >= maxAllowed {
		now := time.Now()
		maps.DeleteFunc(c.until, func(_ [sha256.Size]byte, until time.Time) bool { return !now.Before(until) })
	}
	if len(c.until) >= maxAllowed {
		clear(c.until)
	}
	c.until[key] = time.Now().Add(time.Duration(min(seconds, longestAllow)) * time.Second)
}

// accessKey names the requests for which a decision holds: of the same client, with the same
// credentials, for the same life of an upload and kind of method. Everything in a request may be
// a credential but the fields of changing.
func accessKey(event tusd.Event) (key [sha256.Size]byte) {
	h := sha256.New()
	r := event.HTTPRequest
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	query := r.URI
	if u, err := url.ParseRequestURI(r.URI); err == nil {
		query = u.RawQuery
	}
	fmt.Fprintf(h, "%q %d %s %q %q\n", event.Upload.ID, event.Upload.Created.UnixNano(), methodClass(r.Method), host, query)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		if !slices.Contains(changing, name) {
			fmt.Fprintf(h, "%s %q\n", name, r.Header[name])
		}
	}
	h.Sum(key[:0])
	return key
}

// methodClass returns the kind of a method: what may read may not write.
func methodClass(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead:
		return "read"
	case http.MethodPost, http.MethodPut:
		return "concat"
	case http.MethodDelete:
		return "delete"
	}
	return "write"
}

// changing are fields that differ between the requests of one client and are no credentials.
// Metadata, the URLs of partial uploads, and fields that only look like those of a protocol
// may have credentials.
var changing = []string{
	"Accept", "Accept-Encoding", "Accept-Language", "Cache-Control", "Connection", "Content-Digest", "Content-Length", "Content-Type",
	"Date", "Expect", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Pragma", "Priority", "Range",
	"Repr-Digest", "Te", "Traceparent", "Tracestate", "Trailer", "Transfer-Encoding", "Tus-Resumable", "Upload-Checksum", "Upload-Complete",
	"Upload-Defer-Length", "Upload-Draft-Interop-Version", "Upload-Incomplete", "Upload-Length", "Upload-Offset", "User-Agent",
	"X-Http-Method-Override", "X-Request-Id",
}
