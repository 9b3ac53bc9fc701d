package cli

import (
	"fmt"
	"strings"
)

// contradiction names settings that cannot both be meant, or nil.
func (cfg config) contradiction() error {
	for _, find := range []func() error{
		cfg.listeningContradiction, cfg.tlsContradiction, cfg.protocolContradiction,
		cfg.corsContradiction, cfg.monitoringContradiction,
	} {
		if err := find(); err != nil {
			return err
		}
	}
	return nil
}

// exclude is the error for two settings of which only one may be set.
func (cfg config) exclude(a, b string) error {
	return fmt.Errorf("%s and %s exclude each other", cfg.given.name(a), cfg.given.name(b))
}

// need is the error for a setting that has no effect without another one.
func (cfg config) need(a, b string) error {
	return fmt.Errorf("%s needs %s", cfg.given.name(a), cfg.given.name(b))
}

// larger is the error for a limit that leaves no room for another one.
func (cfg config) larger(a, b string) error {
	return fmt.Errorf("%s is larger than %s", cfg.given.name(a), cfg.given.name(b))
}

func (cfg config) isSet(setting string) bool { return cfg.given[setting] != "" }

func (cfg config) listeningContradiction() error {
	switch {
	case cfg.listening.unixSock != "" && cfg.isSet("host"):
		return cfg.exclude("unix-sock", "host")
	case cfg.listening.unixSock != "" && cfg.isSet("port"):
		return cfg.exclude("unix-sock", "port")
	case cfg.listening.behindProxy && cfg.listening.trustedProxies != nil:
		return cfg.exclude("behind-proxy", "trusted-proxies")
	}
	return nil
}

func (cfg config) tlsContradiction() error {
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

func (cfg config) protocolContradiction() error {
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

func (cfg config) corsContradiction() error {
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

func (cfg config) monitoringContradiction() error {
	m := cfg.monitoring
	paths := map[string]string{} // setting by path
	if m.adminListen == "" {
		paths[strings.Trim(cfg.listening.basePath, "/")] = "base-path"
	}
	for _, p := range []struct {
		used          bool
		setting, path string
	}{{m.exposeMetrics, "metrics-path", m.metricsPath}, {m.exposePprof, "pprof-path", m.pprofPath}} {
		path := strings.Trim(p.path, "/")
		if other := paths[path]; other != "" && p.used {
			return fmt.Errorf("%s and %s are the same path", cfg.given.name(other), cfg.given.name(p.setting))
		}
		paths[path] = p.setting
	}
	return nil
}
