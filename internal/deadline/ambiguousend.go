package deadline

import "net/http"

// AmbiguousEnd reports whether a proxy in front may see another end of the
// request than net/http does: what comes behind it on its connection could be a
// request that the proxy knows nothing of. The answer then closes the connection.
// All that a server serves has to ask, also pages that need no body.
func AmbiguousEnd(r *http.Request) bool {
	switch {
	case r.Method == "PRI": // the beginning of HTTP/2 where that is not spoken
		return true
	case r.ProtoMajor != 1:
		return false
	case r.ProtoMinor == 0: // net/http drops its Transfer-Encoding, which a proxy may follow
		return true
	case len(r.TransferEncoding) > 0: // net/http drops a Content-Length beside it
		return true
	case r.Method == http.MethodConnect: // what follows may be for the other end of a tunnel
		return true
	}
	return r.Header.Get("Upgrade") != "" // what follows may be of another protocol
}
