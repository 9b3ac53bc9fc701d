package cli

import (
	"net/http"
	"strings"
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

// mounts are what operators look at.
func (d *daemon) mounts() ([]mount, error) {
	m := d.cfg.monitoring
	health := newHealth(d.stopping, d.logger, probesFor(d.backend.composer())...)
	mounts := []mount{{"/healthz", health}, {"/readyz", health}}
	if m.exposeMetrics {
		metrics := newMetrics(d.uploads.Metrics(), d.logger, d.connections.collector(), d.queue.collector())
		mounts = append(mounts, mount{m.metricsPath, metrics})
	}
	if m.exposePprof {
		path := strings.TrimSuffix(m.pprofPath, "/") + "/"
		profiles, err := newPprof(path, m.pprofAuth, m.blockProfileRate, m.mutexProfileRate)
		if err != nil {
			return nil, err
		}
		mounts = append(mounts, mount{path, profiles})
	}
	return mounts, nil
}
