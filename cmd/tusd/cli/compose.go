package cli

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tus/tusd"
)

// backend is where uploads are kept, and what keeps requests apart that use
// the same one.
type backend interface {
	composer() *tusd.StoreComposer
	where() string // for people
	probes() []*probe
	// patience is how long a start that has failed with err tries again.
	patience(err error) time.Duration
	// advised is an error of the start with what an operator can do about it.
	advised(err error) error
	collectors() []prometheus.Collector
	close() error // gives back what it has taken
}

// newBackend makes a bucket the backend if there is one in the settings.
func newBackend(cfg config, logger *slog.Logger) (b backend, err error) {
	if cfg.s3.bucket != "" {
		b, err = newS3Backend(cfg.s3, logger)
	} else {
		b, err = newDirectory(cfg.storage)
	}
	if err != nil {
		return nil, err // rather than b, which has a type
	}
	return b, nil
}

// handlerConfig is what cfg means for the handler.
func handlerConfig(cfg config, composer *tusd.StoreComposer, logger *slog.Logger) tusd.Config {
	return tusd.Config{
		StoreComposer:        composer,
		BasePath:             cfg.listening.basePath,
		PublicURL:            cfg.listening.publicURL,
		MaxSize:              cfg.protocol.maxSize,
		MaxAppendSize:        cfg.protocol.maxAppendSize,
		MinAppendSize:        cfg.protocol.minAppendSize,
		DisableIETF:          cfg.protocol.disableIETF,
		DisableDownload:      cfg.protocol.disableDownload,
		DisableTermination:   cfg.protocol.disableTermination,
		DisableConcatenation: cfg.protocol.disableConcatenation,
		Digest:               cfg.protocol.digest,
		ChecksumSpool:        cfg.protocol.checksumSpool,
		TrustForwarded:       cfg.listening.behindProxy,
		TrustedProxies:       cfg.listening.trustedProxies,
		MaxHeaderSize:        cfg.limits.maxHeaderSize,
		MaxMetaData:          cfg.limits.maxMetadataSize,
		MaxPartials:          cfg.limits.maxPartials,
		MaxRequests:          cfg.limits.maxRequests,
		MaxUploadsPerClient:  cfg.limits.maxUploadsPerClient,
		MinRate:              cfg.limits.minRate,
		MinRateTime:          cfg.limits.minRateTime,
		CORS:                 corsConfig(cfg.cors),
		NetworkTimeout:       cfg.timeouts.network,
		AcquireLockTimeout:   cfg.timeouts.acquireLock,
		GracePeriod:          cfg.timeouts.requestCompletion,
		Logger:               logger,
	}
}

func corsConfig(c cors) *tusd.CORSConfig {
	rules := &tusd.CORSConfig{
		Disable:          c.disable,
		AllowOrigin:      c.allowOrigin,
		Origins:          c.origins,
		AllowCredentials: c.allowCredentials,
		AllowMethods:     c.allowMethods,
		AllowHeaders:     c.allowHeaders,
		ExposeHeaders:    c.exposeHeaders,
		MaxAge:           c.maxAge,
	}
	if c.allowOrigin.String() == anyOrigin {
		rules.AllowOrigin = nil
	}
	return rules
}
