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

// publicMux routes requests: to the admin pages, to the uploads below basePath, to a
// greeting. It compares the path as it is on the wire, because an encoded slash
// is part of an id. It never redirects, because clients that upload do not
// follow redirects.
type publicMux struct {
	basePath        string
	uploads         http.Handler
	routes          []route // come before the uploads
	greet, notFound http.Handler
}

// newPublicMux returns a mux whose pages are bounded by pages.
func newPublicMux(pages *guard.Guard, basePath string, uploads http.Handler, routes []route, greets bool) publicMux {
	notFoundPage := textPage(http.StatusNotFound, fmt.Sprintf("There is nothing here. Uploads live below %s\n", basePath))
	s := publicMux{basePath: basePath, uploads: uploads, routes: routes, notFound: pages.Page(maxTextRequests, notFoundPage, nil)}
	if greets {
		s.greet = pages.Page(maxTextRequests, textPage(http.StatusOK, greeting), nil)
	}
	return s
}

func (s publicMux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	for _, m := range s.routes {
		if m.matches(path) {
			m.handler.ServeHTTP(w, r)
			return
		}
	}
	switch {
	case strings.HasPrefix(path, s.basePath), path+"/" == s.basePath:
		s.uploads.ServeHTTP(w, r)
	case r.RequestURI == "*": // OPTIONS *
		s.uploads.ServeHTTP(w, r)
	case path == "/" && s.greet != nil:
		s.greet.ServeHTTP(w, r)
	default:
		s.notFound.ServeHTTP(w, r)
	}
}

// adminMux routes requests to the admin pages only.
type adminMux struct {
	routes   []route
	notFound http.Handler
}

func newAdminMux(pages *guard.Guard, routes []route) adminMux {
	var paths strings.Builder
	for _, m := range routes {
		fmt.Fprintf(&paths, "  %s\n", m.path)
	}
	notFoundPage := textPage(http.StatusNotFound, "There is nothing here. What there is:\n"+paths.String())
	return adminMux{routes, pages.Page(maxTextRequests, notFoundPage, nil)}
}

func (s adminMux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, m := range s.routes {
		if m.matches(r.URL.EscapedPath()) {
			m.handler.ServeHTTP(w, r)
			return
		}
	}
	s.notFound.ServeHTTP(w, r)
}

// textPage returns a handler that answers with a text.
func textPage(status int, text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(status)
		io.WriteString(w, text) // an error means that the client has disconnected
	})
}

// route is a page that is served beside the uploads: at a path, or below it if
// the path ends with a slash.
type route struct {
	path    string
	handler http.Handler
}

// matches reports whether path, as it is on the wire, belongs to the route.
func (m route) matches(path string) bool {
	if strings.HasSuffix(m.path, "/") {
		return strings.HasPrefix(path, m.path)
	}
	return path == m.path
}

// The paths of health checks are fixed.
const (
	healthPath = "/healthz"
	readyPath  = "/readyz"
)

// The greatest number of concurrent requests for a page. Each page has its own limit, so
// that an attack on one page does not affect the others.
const (
	maxTextRequests    = 64
	maxHealthRequests  = 64
	maxMetricsRequests = 32
	maxProfileRequests = 8
	maxRunningRequests = 8
)

// adminRoutes returns the admin pages: health, metrics, profiles and, at an address of their
// own, running requests, bounded by pages. monitoringSettings.servedPaths has the same paths.
func (d *daemon) adminRoutes(pages *guard.Guard) []route {
	m := d.cfg.monitoring
	health := newHealthHandler(d.stopping, d.logger, d.composition.probes(m.readyzStrict)...)
	d.readiness = health.readiness
	alive, ready := health.withoutContent()
	routes := []route{{healthPath, pages.Page(maxHealthRequests, health, alive)}, {readyPath, pages.Page(maxHealthRequests, health, ready)}}
	if m.exposeMetrics {
		metrics := newMetrics(d.uploads.Metrics(), d.logger, slices.Concat(d.composition.collectors(), d.queue.collectors(), d.hookCollectors(), []prometheus.Collector{d.connections.collector(), health.readiness.collector()})...)
		routes = append(routes, route{m.metricsPath, pages.Page(maxMetricsRequests, metrics, nil)})
	}
	if m.exposePprof {
		path := m.profilesPath()
		profiles := newPprof(path, m.pprofAuth, m.blockProfileRate, m.mutexProfileRate)
		routes = append(routes, route{path, pages.Stream(maxProfileRequests, profiles)})
	}
	if m.adminListen != "" {
		routes = append(routes, route{runningPath, pages.Page(maxRunningRequests, runningPage(d.uploads), nil)})
	}
	return routes
}

// profilesPath returns the path that all profiles are below.
func (m monitoringSettings) profilesPath() string { return strings.TrimSuffix(m.pprofPath, "/") + "/" }
