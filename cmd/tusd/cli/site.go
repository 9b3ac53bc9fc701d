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

// site is everything that is served: what operators look at, the uploads below
// basePath, and a greeting. It chooses by the path as it is on the wire,
// because an encoded slash is part of an id, and it never redirects, because
// clients that upload do not follow.
type site struct {
	basePath   string
	uploads    http.Handler
	mounts     []mount // come before the uploads
	noGreeting bool
}

func (s site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	for _, m := range s.mounts {
		if m.covers(path) {
			m.handler.ServeHTTP(w, r)
			return
		}
	}
	switch {
	case strings.HasPrefix(path, s.basePath), path+"/" == s.basePath:
		s.uploads.ServeHTTP(w, r)
	case r.RequestURI == "*": // OPTIONS *: what the server can
		s.uploads.ServeHTTP(w, r)
	case path == "/" && !s.noGreeting:
		answerText(w, http.StatusOK, greeting)
	default:
		answerText(w, http.StatusNotFound, fmt.Sprintf("There is nothing here. Uploads live below %s\n", s.basePath))
	}
}

// adminSite serves only what operators look at.
type adminSite []mount

func (s adminSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var paths strings.Builder
	for _, m := range s {
		if m.covers(r.URL.EscapedPath()) {
			m.handler.ServeHTTP(w, r)
			return
		}
		fmt.Fprintf(&paths, "  %s\n", m.path)
	}
	answerText(w, http.StatusNotFound, "There is nothing here. What there is:\n"+paths.String())
}

func answerText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	io.WriteString(w, text) // a client that has gone needs no answer
}
