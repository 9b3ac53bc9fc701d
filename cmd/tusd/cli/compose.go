package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filelocker"
	"github.com/tus/tusd/filestore"
)

// backend is where uploads are kept, and what keeps requests apart that use
// the same one.
type backend struct {
	store  *filestore.FileStore
	locker *filelocker.FileLocker
}

func newBackend(s storage) (*backend, error) {
	dir, err := filepath.Abs(s.uploadDir) // the working directory may change; the uploads may not
	if err != nil {
		return nil, fmt.Errorf("upload directory: %w", err)
	}
	return &backend{
		store: &filestore.FileStore{
			Path: dir, Durability: s.durability, MinFree: s.minFree,
			FileKey: s.fileKey, StorageRoots: filepath.SplitList(s.storageRoots),
			DirPerm: s.dirPerms, FilePerm: s.filePerms,
		},
		locker: &filelocker.FileLocker{
			Path: dir, HolderPollInterval: s.lockHolderPoll, AcquirerPollInterval: s.lockAcquirerPoll,
		},
	}, nil
}

// close gives the directory back.
func (b *backend) close() error { return errors.Join(b.locker.Close(), b.store.Close()) }

func (b *backend) composer() *tusd.StoreComposer {
	composer := tusd.NewStoreComposer()
	b.store.UseIn(composer)
	b.locker.UseIn(composer)
	return composer
}

// handlerConfig is what cfg means for the handler.
func handlerConfig(cfg config, composer *tusd.StoreComposer, logger *slog.Logger) tusd.Config {
	return tusd.Config{
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
