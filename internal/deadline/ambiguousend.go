package deadline

import "net/http"

// AmbiguousEnd reports whether a proxy in front may see another end of the
// request than net/http does: the next bytes on its connection could be a
// request that the proxy does not know of. The answer then closes the
// connection. Every handler must ask, also for pages that need no body.
func AmbiguousEnd(r *http.Request) bool {
	switch {
	case r.Method == "PRI": // the beginning of HTTP/2, on a server without it
		return true
	case r.ProtoMajor != 1:
		return false
	case r.ProtoMinor == 0: // net/http ignores its Transfer-Encoding, a proxy may not
		return true
	case len(r.TransferEncoding) > 0: // net/http ignores a Content-Length beside it
		return true
	case r.Method == http.MethodConnect: // the next bytes may be for the other end of a tunnel
		return true
	}
	return r.Header.Get("Upgrade") != "" // the next bytes may be of another protocol
}
