package cli

import (
	"log/slog"

	"github.com/tus/tusd"
)

// handlerConfig returns the settings of the handler.
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
		ExpireAfter:          cfg.housekeeping.expireAfter,
		ProgressInterval:     cfg.hooks.interval,
		Callbacks:            cfg.housekeeping.callbacks(),
		Logger:               logger,
	}
}

func corsConfig(c corsSettings) *tusd.CORSConfig {
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
