package cli

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

// greeting is for people who open the server's address in a browser.
const greeting = `This is tusd, a server for resumable uploads.

It is running. Uploads are made by programs that speak the tus protocol:
point yours at the address that the server printed when it started.
More about the protocol: https://tus.io
`

// site is everything that is served: the uploads below basePath, and a
// greeting. It chooses by the path as it is on the wire, because an encoded
// slash is part of an id, and it never redirects, because clients that upload
// do not follow.
type site struct {
	basePath   string
	uploads    http.Handler
	noGreeting bool // there is no greeting
}

func (s site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	switch {
	case strings.HasPrefix(path, s.basePath), path+"/" == s.basePath:
		s.uploads.ServeHTTP(w, r)
	case r.RequestURI == "*": // OPTIONS *: what the server can
		s.uploads.ServeHTTP(w, r)
	case path == "/" && !s.noGreeting:
		greet(w)
	default:
		s.notFound(w)
	}
}

// notFound helps whoever has set a client up with a wrong address.
func (s site) notFound(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusNotFound)
	fmt.Fprintf(w, "There is nothing here. Uploads live below %s\n", s.basePath)
}

func greet(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	io.WriteString(w, greeting) // a client that has gone needs no greeting
}
