package tusd

import (
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
)

// gate holds requests against the limits on their number and size.
type gate struct {
	config *Config

	requests atomic.Int64 // that were let in; those that are being refused do not count

	mu      sync.Mutex
	uploads map[netip.Prefix]int // requests with content, by the client
}

// enter lets a request in, unless it is beyond a limit. If there is no error,
// the caller calls leave with what it returned.
func (g *gate) enter(x *exchange) (client netip.Prefix, err error) {
	if headerSize(x.r) > int64(g.config.MaxHeaderSize) {
		return client, ErrHeaderTooLarge
	}
	if n := g.requests.Add(1); g.config.MaxRequests > 0 && n > int64(g.config.MaxRequests) {
		err = ErrTooManyRequests
	} else if g.config.MaxUploadsPerClient > 0 && x.hasContent() {
		client, err = g.enterUpload(x.h.LimitedClient(x.client()))
	}
	if err != nil {
		g.requests.Add(-1)
	}
	return client, err
}

// enterUpload counts one more upload of a client, if it may have it.
func (g *gate) enterUpload(client netip.Prefix) (netip.Prefix, error) {
	if !client.IsValid() {
		return client, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.uploads[client] >= g.config.MaxUploadsPerClient {
		return netip.Prefix{}, ErrTooManyUploads
	}
	g.uploads[client]++
	return client, nil
}

// leave lets a request out. client is what enter returned.
func (g *gate) leave(client netip.Prefix) {
	g.requests.Add(-1)
	if !client.IsValid() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.uploads[client]--; g.uploads[client] == 0 {
		delete(g.uploads, client)
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

// LimitedClient is whom limits per client count what comes from addr for: the
// address, or, of IPv6, the network that one client usually has to itself. It
// is not valid, and there is no limit, for addresses from which proxies and
// gateways may pass on what many clients do: those of Config.TrustedProxies and
// of private networks, all with Config.TrustForwarded.
func (h *Handler) LimitedClient(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("") // listeners for both versions of IP name clients of version 4 in version 6
	if !addr.IsValid() || h.proxies.all || within(near, addr) || within(h.proxies.networks, addr) {
		return netip.Prefix{}
	}
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	prefix, _ := addr.Prefix(bits) // both fit
	return prefix
}
