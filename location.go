package tusd

import (
	"cmp"
	"net/netip"
	"strings"

	"github.com/tus/tusd/internal/forwarded"
)

// setLocation tells the client where the upload is that the request has made.
func (x *exchange) setLocation(id string) {
	x.createdID = id
	x.set("Location", x.location(id))
}

// location is the absolute URL of an upload.
func (x *exchange) location(id string) string {
	origin, path := x.base()
	return origin + path + escapeID(id)
}

// base is the creation URL as the client knows it, in two parts: scheme and host,
// "" if the client does not say, and path.
func (x *exchange) base() (origin, path string) {
	switch {
	case x.h.publicPath != "":
		return x.h.publicOrigin, x.h.publicPath
	case x.h.origin != "" || !x.h.proxies.Trusts(x.peer) || !forwarded.IsForwarded(x.r.Header):
		return x.origin(), x.h.basePath
	}
	prefix := forwarded.Prefix(x.r.Header)
	if strings.HasPrefix(x.h.basePath, prefix+"/") {
		prefix = "" // it was not cut off
	}
	return x.origin(), prefix + x.h.basePath
}

// origin is the scheme and host under which the client reaches the server, ""
// if it does not say.
func (x *exchange) origin() string {
	if x.h.origin != "" {
		return x.h.origin
	}
	scheme, host := x.scheme(), x.r.Host
	if x.h.proxies.Trusts(x.peer) && forwarded.IsForwarded(x.r.Header) {
		_, named := forwarded.Origin(x.r.Header)
		host = cmp.Or(named, host)
		host = forwarded.WithoutDefaultPort(scheme, forwarded.WithPort(x.r.Header, host))
	}
	if host == "" {
		return ""
	}
	return scheme + "://" + host
}

// scheme is that which the client has used.
func (x *exchange) scheme() string {
	if x.h.proxies.Trusts(x.peer) && forwarded.IsForwarded(x.r.Header) {
		if scheme, _ := forwarded.Origin(x.r.Header); scheme != "" {
			return scheme
		}
	}
	if x.r.TLS != nil {
		return "https"
	}
	return "http"
}

// client is the address of the client; not valid if it is not known.
func (x *exchange) client() netip.Addr { return x.h.proxies.Client(x.r, x.peer) }

// remoteAddr is the client's address as events tell it: with the port, if it has
// connected itself.
func (x *exchange) remoteAddr() string {
	if client := x.client(); client.IsValid() && client != x.peer {
		return netip.AddrPortFrom(client, 0).String()
	}
	return x.r.RemoteAddr
}
