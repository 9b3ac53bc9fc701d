package tusd

import (
	"net/http"
	"sync"
	"time"

	"github.com/tus/tusd/internal/forwarded"
)

// A proxy that buffers requests passes a body on when it has all of it: no
// byte of an upload is safe before the last one has reached the proxy, and
// what a client sent before its connection broke is lost. The server can only
// see that bodies arrive late and then all at once.
const (
	bufferedBytes = 1 << 20                // smaller bodies tell nothing
	bufferedDelay = 500 * time.Millisecond // between the last answer and the next request
	bufferedRatio = 10                     // how much longer that took than reading the body
	bufferedTimes = 3                      // in a row

	maxWatchedUploads = 1024
)

// bufferingDetector looks for such a proxy. The zero value is ready to use.
type bufferingDetector struct {
	mu       sync.Mutex
	answered map[idHash]time.Time // when the last request on an upload was
	times    int
	found    bool
}

// observe is told of each request on an upload that came by a proxy: when it
// came, how many bytes of content it had, how long the server waited for
// them. It returns true once, when it is rather sure.
func (d *bufferingDetector) observe(id string, came time.Time, n int64, waited time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.found || id == "" {
		return false
	}
	hash := hashID(id)
	before, known := d.answered[hash]
	d.recordAnswer(hash)
	if n < bufferedBytes || !known {
		return false
	}
	switch delay := came.Sub(before); {
	case delay >= bufferedDelay && delay >= bufferedRatio*waited:
		d.times++
	case waited > delay:
		d.times = 0 // this one came as it was sent
	}
	d.found = d.times == bufferedTimes
	return d.found
}

// recordAnswer notes that a request on the upload has been answered. The caller
// holds w.mu.
func (d *bufferingDetector) recordAnswer(hash idHash) {
	if d.answered == nil {
		d.answered = make(map[idHash]time.Time)
	}
	if len(d.answered) >= maxWatchedUploads {
		for other := range d.answered { // any one: this is a sample anyway
			delete(d.answered, other)
			break
		}
	}
	d.answered[hash] = time.Now()
}

// warnAboutProxies warns of proxies that will spoil uploads, each way once.
func (x *exchange) warnAboutProxies() {
	if !forwarded.IsForwarded(x.r.Header) {
		return
	}
	if !x.h.schemeWarned.Load() && x.h.origin == "" && !x.h.proxies.Trusts(x.peer) && claimsHTTPS(x.r.Header) &&
		x.r.TLS == nil && x.h.schemeWarned.CompareAndSwap(false, true) {
		x.h.log.Warn("a proxy says https, but is not believed, so that Location will be http: name its network as trusted", "proxy", addressName(x.peer))
	}
	if x.h.buffering.observe(x.uploadID(), x.started, x.body.n, x.body.waited) {
		x.h.log.Warn("it looks as if a proxy buffers requests: their content comes late and all at once, so that whatever a client sends before its connection breaks is lost", "proxy", addressName(x.peer))
	}
}

// claimsHTTPS reports whether a peer that is not believed says that its client
// uses https. Only the warning above asks, so what no proxy would write is not read.
func claimsHTTPS(header http.Header) bool {
	const longest = 1 << 10
	for _, name := range []string{"X-Forwarded-Proto", "Forwarded"} {
		if values := header[name]; len(values) > 1 || len(values) == 1 && len(values[0]) > longest {
			return false
		}
	}
	scheme, _ := forwarded.Origin(header)
	return scheme == "https"
}
