package cli

import (
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
)

func newStore(s storage) (*filestore.FileStore, error) {
	dir, err := filepath.Abs(s.uploadDir) // the working directory may change; the uploads may not
	if err != nil {
		return nil, fmt.Errorf("upload directory: %w", err)
	}
	return &filestore.FileStore{
		Path: dir, Durability: s.durability, MinFree: s.minFree,
		FileKey: s.fileKey, StorageRoots: filepath.SplitList(s.storageRoots),
		DirPerm: s.dirPerms, FilePerm: s.filePerms,
	}, nil
}

func newHandler(cfg config, store *filestore.FileStore, logger *slog.Logger) (*tusd.Handler, error) {
	composer := tusd.NewStoreComposer()
	store.UseIn(composer)
	return tusd.NewHandler(tusd.Config{
		StoreComposer:        composer,
		BasePath:             cfg.listening.basePath,
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
		MaxRequests:          cfg.limits.maxRequests,
		MaxUploadsPerClient:  cfg.limits.maxUploadsPerClient,
		MinRate:              cfg.limits.minRate,
		MinRateTime:          cfg.limits.minRateTime,
		CORS:                 corsConfig(cfg.cors),
		NetworkTimeout:       cfg.timeouts.network,
		AcquireLockTimeout:   cfg.timeouts.acquireLock,
		GracePeriod:          cfg.timeouts.requestCompletion,
		Logger:               logger,
	})
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
