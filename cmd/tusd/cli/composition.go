package cli

import (
	"errors"
	"log/slog"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tus/tusd"
)

// composition is the storage and the locker that the flags choose.
// validateStorage has checked that they fit together.
type composition struct {
	storage uploadStorage
	locker  uploadLocker
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
	return &composition{storage, locker}, nil
}

func (c *composition) composer() *tusd.StoreComposer {
	composer := tusd.NewStoreComposer()
	c.storage.useIn(composer)
	composer.UseLocker(c.locker)
	return composer
}

func (c *composition) probes() []*probe {
	return slices.Concat(c.storage.probes(), c.locker.probes())
}

func (c *composition) collectors() []prometheus.Collector {
	return slices.Concat(c.storage.collectors(), c.locker.collectors())
}

func (c *composition) close() error { return errors.Join(c.locker.close(), c.storage.close()) }
