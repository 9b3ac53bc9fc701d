package tusd

import (
	"net/http"
	"sync"
	"time"

	"github.com/tus/tusd/internal/forwarded"
)

// A proxy that buffers requests forwards a body only when it has all of it. No byte of
// an upload is safe before the last one has reached the proxy, and everything that a
// client has sent before its connection breaks is lost. The server can only observe
// that bodies arrive late and all at once.
const (
	bufferedBytes = 1 << 20                // smaller bodies are ignored
	bufferedDelay = 500 * time.Millisecond // between the last answer and the next request
	bufferedRatio = 10                     // minimum ratio of that delay to the time for reading the body
	bufferedTimes = 3                      // so many requests in a row

	maxWatchedUploads = 1024
)

// bufferingDetector detects such a proxy. The zero value is ready to use.
type bufferingDetector struct {
	mu       sync.Mutex
	answered map[idHash]time.Time // end of the last request on an upload
	times    int
	found    bool
}

// observe evaluates a request on an upload that came through a proxy: when it came, how
// many bytes of content it had, and how long the server waited for them. It returns
// true once, when a buffering proxy is very likely.
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
		d.times = 0 // this body was not buffered
	}
	d.found = d.times == bufferedTimes
	return d.found
}

// recordAnswer records that a request on the upload has been answered. The caller holds
// d.mu.
func (d *bufferingDetector) recordAnswer(hash idHash) {
	if d.answered == nil {
		d.answered = make(map[idHash]time.Time)
	}
	if len(d.answered) >= maxWatchedUploads {
		for other := range d.answered { // any entry: this is a sample
			delete(d.answered, other)
			break
		}
	}
	d.answered[hash] = time.Now()
}

// warnAboutProxies warns of proxies that do harm to uploads: once of one that is not
// trusted but says https, and once of one that buffers requests.
func (x *exchange) warnAboutProxies() {
	if !forwarded.IsForwarded(x.r.Header) {
		return
	}
	if !x.h.schemeWarned.Load() && x.h.origin == "" && !x.h.proxies.Trusts(x.peer) && claimsHTTPS(x.r.Header) &&
		x.r.TLS == nil && x.h.schemeWarned.CompareAndSwap(false, true) {
		x.h.log.Warn("a proxy says https, but is not believed, so that Location will be http: name its network as trusted", "proxy", addressName(x.peer))
	}
	if x.h.buffering.observe(x.uploadID(), x.started, x.body.received.Load(), x.body.waited) {
		x.h.log.Warn("it looks as if a proxy buffers requests: their content comes late and all at once, so that whatever a client sends before its connection breaks is lost", "proxy", addressName(x.peer))
	}
}

// claimsHTTPS reports whether a peer that is not trusted says that its client uses
// https. Only the warning above needs this, so values that no proxy would write are
// ignored.
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
