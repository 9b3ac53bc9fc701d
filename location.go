package tusd

import (
	"cmp"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/tus/tusd/internal/forwarded"
	"github.com/tus/tusd/internal/loglimit"
)

// setLocation sets Location to the URL of the upload that the request has created.
func (x *exchange) setLocation(id string) {
	x.createdID = id
	x.checkMount()
	x.set("Location", x.location(id))
}

// checkMount logs, once, that clients cannot reach the handler by Location: the program has
// removed a prefix of the path of this creation, as http.StripPrefix does, and BasePath does
// not end with the path before that. Behind a proxy, which may change paths, too, and with
// an absolute URL in the configuration nothing is known, and nothing is logged.
func (x *exchange) checkMount() {
	h := x.h
	if h.publicPath != "" || h.origin != "" || forwarded.IsForwarded(x.r.Header) {
		return
	}
	sent, inside := withSlash(sentPath(x.r)), withSlash(x.r.URL.EscapedPath())
	if sent == inside || !strings.HasSuffix(sent, inside) || strings.HasSuffix(h.basePath, sent) {
		return
	}
	h.mountWarning.Do(func() {
		h.log.Warn("Location may lead elsewhere: a prefix is removed from the path of requests, and Config.BasePath does not have it. "+
			"Set Config.BasePath to the path that clients use, or set Config.PublicURL",
			"request_path", loglimit.Cut(sent, loglimit.Text), "base_path", h.basePath)
	})
}

// sentPath returns the escaped path as the client sent it, also of a target that is an
// absolute URL (RFC 9112, section 3.2.2).
func sentPath(r *http.Request) string {
	if !strings.HasPrefix(r.RequestURI, "/") {
		if u, err := url.Parse(r.RequestURI); err == nil {
			return u.EscapedPath()
		}
	}
	path, _, _ := strings.Cut(r.RequestURI, "?")
	return path
}

// withSlash returns a path with a slash at its end.
func withSlash(path string) string {
	if strings.HasSuffix(path, "/") {
		return path
	}
	return path + "/"
}

// location returns the absolute URL of an upload.
func (x *exchange) location(id string) string {
	origin, path := x.base()
	return origin + path + escapeID(id)
}

// base returns the creation URL as the client knows it, in two parts: the origin
// (scheme and host, "" if the request has no host) and the path.
func (x *exchange) base() (origin, path string) {
	switch {
	case x.h.publicPath != "":
		return x.h.publicOrigin, x.h.publicPath
	case x.h.origin != "" || !x.h.proxies.Trusts(x.peer) || !forwarded.IsForwarded(x.r.Header):
		return x.origin(), x.h.basePath
	}
	prefix := forwarded.Prefix(x.r.Header)
	if strings.HasPrefix(x.h.basePath, prefix+"/") {
		prefix = "" // the proxy has not removed it
	}
	return x.origin(), prefix + x.h.basePath
}

// origin returns the scheme and host under which the client reaches the server, "" if
// the request has no host.
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

// scheme returns the scheme that the client has used.
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

// client returns the address of the client. It is invalid if it is unknown.
func (x *exchange) client() netip.Addr { return x.h.proxies.Client(x.r, x.peer) }

// remoteAddr returns the client's address for events. It has a port if the client is
// the peer.
func (x *exchange) remoteAddr() string {
	if client := x.client(); client.IsValid() && client != x.peer {
		return netip.AddrPortFrom(client, 0).String()
	}
	return x.r.RemoteAddr
}
