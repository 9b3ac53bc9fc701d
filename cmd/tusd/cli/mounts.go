package cli

import (
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tus/tusd/internal/guard"
)

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
	health := newHealth(d.stopping, d.logger, d.backend.probes()...)
	alive, ready := health.withoutContent()
	mounts := []mount{{healthPath, pages.Page(healthPlaces, health, alive)}, {readyPath, pages.Page(healthPlaces, health, ready)}}
	if m.exposeMetrics {
		metrics := newMetrics(d.uploads.Metrics(), d.logger, slices.Concat(d.backend.collectors(), d.queue.collectors(), []prometheus.Collector{d.connections.collector()})...)
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
