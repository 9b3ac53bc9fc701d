// Package front gives the daemon what it needs of a handler for its limit of connections,
// which stands in front of the handler. Package tusd sets the functions. Each gets a
// *tusd.Handler.
package front

import (
	"net/http"
	"net/netip"
	"sync/atomic"
)

var (
	// Client returns the client that limits per client charge addr to: the address, or
	// the /64 network of an IPv6 address, which one client usually has alone. The result
	// is invalid, and there is no limit, for addresses of proxies and gateways, which may
	// forward requests of many clients: those of Config.TrustedProxies and of private
	// networks, and all addresses with Config.TrustForwarded.
	Client func(handler any, addr netip.Addr) netip.Prefix

	// RefuseConnection answers a request on a connection beyond the limit, in place of
	// ServeHTTP, with ERR_TOO_MANY_CONNECTIONS. The answer is in the dialect of the
	// request, has the headers of every answer, and is counted, but not logged.
	RefuseConnection func(handler any, w http.ResponseWriter, r *http.Request)

	// CountRefused adds the counter of refused connections to Metrics.LimitsExceeded of
	// the handler, as "connections_per_client", and returns it. Call it once, before the
	// handler serves and its metrics are read.
	CountRefused func(handler any) *atomic.Uint64
)
