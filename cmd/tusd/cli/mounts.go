package cli

import (
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
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

// mounts are what operators look at; config.contradiction knows their paths
// from monitoring.occupied.
func (d *daemon) mounts() []mount {
	m := d.cfg.monitoring
	health := newHealth(d.stopping, d.logger, d.backend.probes()...)
	mounts := []mount{{healthPath, health}, {readyPath, health}}
	if m.exposeMetrics {
		metrics := newMetrics(d.uploads.Metrics(), d.logger, slices.Concat(d.backend.collectors(), d.queue.collectors(), []prometheus.Collector{d.connections.collector()})...)
		mounts = append(mounts, mount{m.metricsPath, metrics})
	}
	if m.exposePprof {
		path := m.profilesPath()
		mounts = append(mounts, mount{path, newPprof(path, m.pprofAuth, m.blockProfileRate, m.mutexProfileRate)})
	}
	return mounts
}

// profilesPath is what all profiles are below.
func (m monitoring) profilesPath() string { return strings.TrimSuffix(m.pprofPath, "/") + "/" }
