package cli

import (
	"errors"
	"fmt"
	"strings"
)

// validate returns the first error in settings that contradict each other.
func (cfg config) validate() error {
	for _, find := range []func() error{
		cfg.validateListening, cfg.validateTLS, cfg.validateProtocol,
		cfg.validateCORS, cfg.validateMonitoring, cfg.validateStorage, cfg.validateHooks, cfg.validateHousekeeping,
	} {
		if err := find(); err != nil {
			return err
		}
	}
	return nil
}

// exclude returns the error for two settings of which only one may be set.
func (cfg config) exclude(a, b string) error {
	return fmt.Errorf("%s and %s exclude each other", cfg.sources.name(a), cfg.sources.name(b))
}

// need returns the error for a setting that has no effect without another one.
func (cfg config) need(a, b string) error {
	return fmt.Errorf("%s needs %s", cfg.sources.name(a), cfg.sources.name(b))
}

// larger returns the error for a limit that is larger than another one.
func (cfg config) larger(a, b string) error {
	return fmt.Errorf("%s is larger than %s", cfg.sources.name(a), cfg.sources.name(b))
}

func (cfg config) isSet(setting string) bool { return cfg.sources[setting] != "" }

func (cfg config) validateListening() error {
	switch {
	case cfg.listening.unixSock != "" && cfg.isSet("host"):
		return cfg.exclude("unix-sock", "host")
	case cfg.listening.unixSock != "" && cfg.isSet("port"):
		return cfg.exclude("unix-sock", "port")
	case cfg.listening.unixSock == "" && cfg.isSet("unix-sock-mode"):
		return cfg.need("unix-sock-mode", "unix-sock")
	case cfg.listening.unixSock == "" && cfg.isSet("unix-sock-group"):
		return cfg.need("unix-sock-group", "unix-sock")
	case cfg.listening.behindProxy && cfg.listening.trustedProxies != nil:
		return cfg.exclude("behind-proxy", "trusted-proxies")
	}
	return nil
}

func (cfg config) validateTLS() error {
	switch certificate, key := cfg.tls.certificate != "", cfg.tls.key != ""; {
	case certificate && !key:
		return cfg.need("tls-certificate", "tls-key")
	case key && !certificate:
		return cfg.need("tls-key", "tls-certificate")
	case cfg.isSet("tls-mode") && !certificate:
		return cfg.need("tls-mode", "tls-certificate")
	case certificate && cfg.listening.enableH2C:
		return cfg.exclude("enable-h2c", "tls-certificate")
	}
	return nil
}

func (cfg config) validateProtocol() error {
	p := cfg.protocol
	switch {
	case p.disableIETF && p.enableIETF:
		return cfg.exclude("disable-ietf", "enable-experimental-protocol")
	case p.maxAppendSize > 0 && p.minAppendSize > p.maxAppendSize:
		return cfg.larger("min-append-size", "max-append-size")
	case p.maxSize > 0 && p.minAppendSize > p.maxSize:
		return cfg.larger("min-append-size", "max-size")
	case cfg.limits.maxMetadataSize > cfg.limits.maxHeaderSize:
		return cfg.larger("max-metadata-size", "max-header-size")
	}
	return nil
}

func (cfg config) validateCORS() error {
	if cfg.cors.disable {
		for _, other := range []string{
			"cors-allow-origin", "cors-origins", "cors-allow-credentials",
			"cors-allow-methods", "cors-allow-headers", "cors-expose-headers", "cors-max-age",
		} {
			if cfg.isSet(other) {
				return cfg.exclude("disable-cors", other)
			}
		}
	}
	if cfg.cors.origins != nil && cfg.isSet("cors-allow-origin") {
		return cfg.exclude("cors-origins", "cors-allow-origin")
	}
	return nil
}

// validateMonitoring finds paths of pages that hide each other or the uploads.
func (cfg config) validateMonitoring() error {
	m := cfg.monitoring
	if user, password, ok := strings.Cut(m.pprofAuth, ":"); m.exposePprof && m.pprofAuth != "" && (!ok || user == "" || password == "") {
		return errors.New("TUSD_PPROF_AUTH is not of the form user:password")
	}
	occupied := m.servedPaths()
	for i, first := range occupied {
		for _, second := range occupied[i+1:] {
			if first.hides(second.path) {
				return cfg.collision(first, second)
			}
		}
		if base := (servedPath{"base-path", cfg.listening.basePath}); m.adminListen == "" && first.hides(base.path) {
			return cfg.collision(base, first)
		}
	}
	return nil
}

// servedPath is the path of a page that is served beside the uploads.
type servedPath struct {
	setting string // "": the path is fixed
	path    string
}

// servedPaths returns the paths of pages that are served beside the uploads, in
// the order in which requests are compared with them.
func (m monitoringSettings) servedPaths() []servedPath {
	occupied := []servedPath{{"", healthPath}, {"", readyPath}}
	if m.exposeMetrics {
		occupied = append(occupied, servedPath{"metrics-path", m.metricsPath})
	}
	if m.exposePprof {
		occupied = append(occupied, servedPath{"pprof-path", m.profilesPath()})
	}
	if m.adminListen != "" {
		occupied = append(occupied, servedPath{"", runningPath})
	}
	return occupied
}

// what tells people what is served at a fixed path.
func (o servedPath) what() string {
	if o.path == runningPath {
		return "the running requests"
	}
	return "a health check"
}

// hides reports whether requests for path would be routed to o, or people could
// not tell the two apart.
func (o servedPath) hides(path string) bool {
	return route{path: o.path}.matches(path) || strings.Trim(o.path, "/") == strings.Trim(path, "/")
}

func (cfg config) collision(a, b servedPath) error {
	name := func(o servedPath) string {
		if o.setting == "" {
			return o.path + ", " + o.what() + ","
		}
		return cfg.sources.name(o.setting)
	}
	if strings.Trim(a.path, "/") == strings.Trim(b.path, "/") {
		return fmt.Errorf("%s and %s are the same path", name(a), name(b))
	}
	return fmt.Errorf("one of %s and %s is below the other", name(a), name(b))
}
