package tusd

import (
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/tus/tusd/internal/forwarded"
)

// requestLimits holds requests against the limits on their number and size. A request
// counts until its answer is taken and its connection is ready for the next one.
type requestLimits struct {
	config *Config

	requests   atomic.Int64 // that were let in
	unadmitted atomic.Int64 // that are being answered without: refusals, OPTIONS

	mu      sync.Mutex
	uploads map[netip.Prefix]int // requests with content, by the client
}

// admission is what a request counts as.
type admission struct {
	admitted   bool         // among requests
	unadmitted bool         // among others
	client     netip.Prefix // among its uploads, if valid
}

// admit lets a request in, unless it is beyond a limit.
func (l *requestLimits) admit(x *exchange) error {
	if headerSize(x.r) > int64(l.config.MaxHeaderSize) {
		return ErrHeaderTooLarge
	}
	if n := l.requests.Add(1); l.config.MaxRequests > 0 && n > int64(l.config.MaxRequests) {
		l.requests.Add(-1)
		return ErrTooManyRequests
	}
	if l.config.MaxUploadsPerClient > 0 && x.hasContent() {
		if err := l.admitUpload(x); err != nil {
			l.requests.Add(-1)
			return err
		}
	}
	x.admission.admitted = true
	return nil
}

// admitUpload counts one more upload of a client, if it may have it.
func (l *requestLimits) admitUpload(x *exchange) error {
	client := x.h.ClientPrefix(x.client())
	if !client.IsValid() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.uploads[client] >= l.config.MaxUploadsPerClient {
		return ErrTooManyUploads
	}
	l.uploads[client]++
	x.admission.client = client
	return nil
}

// answerBegins is called when the answer begins. Those that were not let in are
// limited, too: beyond the limit a client has to take its answer at once.
func (l *requestLimits) answerBegins(x *exchange) {
	if x.admission.admitted || x.admission.unadmitted {
		return
	}
	x.admission.unadmitted = true
	if n := l.unadmitted.Add(1); l.config.MaxRequests > 0 && n > int64(l.config.MaxRequests) {
		x.deadlines.Hasten(ErrTooManyRequests)
	}
}

// release lets a request out.
func (l *requestLimits) release(a *admission) {
	if a.admitted {
		l.requests.Add(-1)
	}
	if a.unadmitted {
		l.unadmitted.Add(-1)
	}
	if !a.client.IsValid() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.uploads[a.client]--; l.uploads[a.client] == 0 {
		delete(l.uploads, a.client)
	}
}

// headerSize is how many bytes the request line and the header take,
// about as they were sent.
func headerSize(r *http.Request) int64 {
	n := int64(len(r.RequestURI) + len(r.Host))
	for name, values := range r.Header {
		for _, value := range values {
			n += int64(len(name) + len(": \r\n") + len(value))
		}
	}
	return n
}

// ClientPrefix is whom limits per client count what comes from addr for: the
// address, or, of IPv6, the network that one client usually has to itself. It
// is not valid, and there is no limit, for addresses from which proxies and
// gateways may pass on what many clients do: those of Config.TrustedProxies and
// of private networks, all with Config.TrustForwarded.
func (h *Handler) ClientPrefix(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("") // listeners for both versions of IP name clients of version 4 in version 6
	if !addr.IsValid() || h.proxies.All || forwarded.IsPrivate(addr) || h.proxies.Names(addr) {
		return netip.Prefix{}
	}
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	prefix, _ := addr.Prefix(bits) // both fit
	return prefix
}
