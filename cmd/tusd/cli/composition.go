package cli

import (
	"errors"
	"log/slog"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tus/tusd"
	"github.com/tus/tusd/limitedstore"
	"github.com/tus/tusd/prometheuscollector"
)

// composition is the storage and the locker that the flags choose.
// validateStorage has checked that they fit together.
type composition struct {
	storage uploadStorage
	locker  uploadLocker
	limits  housekeepingSettings
	limited *limitedstore.LimitedStore // of the last composer; nil: there is no limit
	logger  *slog.Logger
}

// compose opens the storage and the locker of cfg.
func compose(cfg config, logger *slog.Logger) (*composition, error) {
	_, storageSettings := cfg.chosenStorage()
	_, lockerSettings := cfg.chosenLocker()
	storage, err := storageSettings.open(logger)
	if err != nil {
		return nil, err
	}
	locker, err := lockerSettings.open(cfg, logger)
	if err != nil {
		return nil, errors.Join(err, storage.close())
	}
	return &composition{storage: storage, locker: locker, limits: cfg.housekeeping, logger: logger}, nil
}

func (c *composition) composer() *tusd.StoreComposer {
	composer := tusd.NewStoreComposer()
	c.storage.useIn(composer)
	composer.UseLocker(c.locker)
	return composer
}

// limitedComposer returns the composer of the server: with the limits of the flags.
func (c *composition) limitedComposer() *tusd.StoreComposer {
	composer := c.composer()
	c.limited = c.limits.limit(composer, c.logger)
	return composer
}

// probes returns the probes of the storage and the locker. If strict, the server is not ready
// either if a part fails that all servers share.
func (c *composition) probes(strict bool) []*probe {
	probes := slices.Concat(c.storage.probes(), c.locker.probes())
	for _, p := range probes {
		p.shared = p.shared && !strict
	}
	return probes
}

func (c *composition) collectors() []prometheus.Collector {
	collectors := slices.Concat(c.storage.collectors(), c.locker.collectors())
	if c.limited != nil {
		collectors = append(collectors, prometheuscollector.NewSpace(c.limited.Usage))
	}
	return collectors
}

func (c *composition) close() (err error) {
	if c.limited != nil {
		err = c.limited.Close()
	}
	return errors.Join(err, c.locker.close(), c.storage.close())
}
