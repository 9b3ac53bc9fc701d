package tusd

import (
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/tus/tusd/internal/forwarded"
)

// requestLimits enforces the limits on number and size of requests. A request counts
// until its answer is sent and its connection is ready for the next one.
type requestLimits struct {
	config *Config

	requests   atomic.Int64 // admitted requests
	unadmitted atomic.Int64 // requests that are being answered without admission: refusals, OPTIONS

	mu      sync.Mutex
	uploads map[netip.Prefix]int // requests with content, by client
}

// admission is what a request counts as.
type admission struct {
	admitted   bool         // counted in requests
	unadmitted bool         // counted in unadmitted
	client     netip.Prefix // counted in uploads, if valid
}

// admit admits a request, unless it exceeds a limit.
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

// admitUpload counts one more upload of a client, unless it has the most that are
// allowed.
func (l *requestLimits) admitUpload(x *exchange) error {
	client := x.h.clientPrefix(x.client())
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

// answerBegins is called when the answer begins. Requests that were not admitted are
// limited, too: beyond the limit the client has to read its answer at once.
func (l *requestLimits) answerBegins(x *exchange) {
	if x.admission.admitted || x.admission.unadmitted {
		return
	}
	x.admission.unadmitted = true
	if n := l.unadmitted.Add(1); l.config.MaxRequests > 0 && n > int64(l.config.MaxRequests) {
		x.deadlines.Hasten(ErrTooManyRequests)
	}
}

// release ends an admission.
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

// headerSize returns how many bytes the request line and the header take, about as they
// were sent.
func headerSize(r *http.Request) int64 {
	n := int64(len(r.RequestURI) + len(r.Host))
	for name, values := range r.Header {
		for _, value := range values {
			n += int64(len(name) + len(": \r\n") + len(value))
		}
	}
	return n
}

// clientPrefix returns the client that per-client limits charge addr to: the address,
// or the /64 network of an IPv6 address, which one client usually has alone. The result
// is invalid, and there is no limit, for addresses of proxies and gateways, which may
// forward requests of many clients: those of Config.TrustedProxies and of private
// networks, and all addresses with Config.TrustForwarded.
func (h *Handler) clientPrefix(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("") // dual-stack listeners write IPv4 addresses as IPv6
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
