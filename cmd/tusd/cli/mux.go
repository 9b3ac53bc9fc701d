package cli

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tus/tusd/internal/guard"
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
	basePath       string
	uploads        http.Handler
	mounts         []mount // come before the uploads
	greet, nothing http.Handler
}

// newSite returns a site whose pages are bounded by pages.
func newSite(pages *guard.Guard, basePath string, uploads http.Handler, mounts []mount, greets bool) site {
	nothing := textPage(http.StatusNotFound, fmt.Sprintf("There is nothing here. Uploads live below %s\n", basePath))
	s := site{basePath: basePath, uploads: uploads, mounts: mounts, nothing: pages.Page(textPlaces, nothing, nil)}
	if greets {
		s.greet = pages.Page(textPlaces, textPage(http.StatusOK, greeting), nil)
	}
	return s
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
	case path == "/" && s.greet != nil:
		s.greet.ServeHTTP(w, r)
	default:
		s.nothing.ServeHTTP(w, r)
	}
}

// adminSite serves only what operators look at.
type adminSite struct {
	mounts  []mount
	nothing http.Handler
}

func newAdminSite(pages *guard.Guard, mounts []mount) adminSite {
	var paths strings.Builder
	for _, m := range mounts {
		fmt.Fprintf(&paths, "  %s\n", m.path)
	}
	nothing := textPage(http.StatusNotFound, "There is nothing here. What there is:\n"+paths.String())
	return adminSite{mounts, pages.Page(textPlaces, nothing, nil)}
}

func (s adminSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, m := range s.mounts {
		if m.covers(r.URL.EscapedPath()) {
			m.handler.ServeHTTP(w, r)
			return
		}
	}
	s.nothing.ServeHTTP(w, r)
}

// textPage answers with a text.
func textPage(status int, text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(status)
		io.WriteString(w, text) // a client that has gone needs no answer
	})
}

// mount is something that is served beside the uploads: at a path, or, if that
// ends with a slash, below it.
type mount struct {
	path    string
	handler http.Handler
}

// covers tells whether a path, as it is on the wire, is that of the mount.
func (m mount) covers(path string) bool {
	if strings.HasSuffix(m.path, "/") {
		return strings.HasPrefix(path, m.path)
	}
	return path == m.path
}

// Where health is told. Nothing sets them.
const (
	healthPath = "/healthz"
	readyPath  = "/readyz"
)

// How many requests for a page are answered at the same time. Each page has
// places of its own, so that an attack on one leaves the others.
const (
	textPlaces    = 64
	healthPlaces  = 64
	metricsPlaces = 32
	profilePlaces = 8
)

// mounts are what operators look at, bounded by pages; config.contradiction
// knows their paths from monitoring.occupied.
func (d *daemon) mounts(pages *guard.Guard) []mount {
	m := d.cfg.monitoring
	health := newHealth(d.stopping, d.logger, d.parts.probes()...)
	alive, ready := health.withoutContent()
	mounts := []mount{{healthPath, pages.Page(healthPlaces, health, alive)}, {readyPath, pages.Page(healthPlaces, health, ready)}}
	if m.exposeMetrics {
		metrics := newMetrics(d.uploads.Metrics(), d.logger, slices.Concat(d.parts.collectors(), d.queue.collectors(), []prometheus.Collector{d.connections.collector()})...)
		mounts = append(mounts, mount{m.metricsPath, pages.Page(metricsPlaces, metrics, nil)})
	}
	if m.exposePprof {
		path := m.profilesPath()
		profiles := newPprof(path, m.pprofAuth, m.blockProfileRate, m.mutexProfileRate)
		mounts = append(mounts, mount{path, pages.Stream(profilePlaces, profiles)})
	}
	return mounts
}

// profilesPath is what all profiles are below.
func (m monitoring) profilesPath() string { return strings.TrimSuffix(m.pprofPath, "/") + "/" }
