package cli

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/tus/tusd"
)

// errStartCancelled ends a start that waits for the store and is told to shut
// down.
var errStartCancelled = errors.New("told to end before the start was done")

// The backoff between attempts to open the store doubles from min to max.
const (
	minOpenBackoff = 250 * time.Millisecond
	maxOpenBackoff = 4 * time.Second
)

// openStore makes the handler, which opens the store. After a restart of all
// machines the store's service may start later than this server, so openStore
// retries as long as the storage says. Clients wait meanwhile, because the
// sockets are open. The first attempt that fails has a line, the next ones have it
// at DEBUG.
func (d *daemon) openStore(ctx context.Context) error {
	began, level := time.Now(), slog.LevelWarn
	for backoff := minOpenBackoff; ; backoff = min(2*backoff, maxOpenBackoff) {
		composer := d.composition.limitedComposer()
		composer.Core = &cancellableStore{DataStore: composer.Core, until: ctx}
		uploads, err := d.newHandler(handlerConfig(d.cfg, composer, d.logger))
		if err == nil {
			d.uploads = uploads
			return nil
		}
		left := d.composition.storage.retryFor(err) - time.Since(began)
		if left <= 0 || errors.Is(err, errStartCancelled) {
			return d.composition.storage.advised(err)
		}
		if err := d.composition.storage.close(); err != nil { // it is open if only its wrapper has failed
			return err
		}
		d.logger.LogAttrs(ctx, level, "the start waits: the store is unreachable", slog.Any("err", err), slog.Duration("left", left.Round(time.Second/10)))
		level = slog.LevelDebug
		timer := time.NewTimer(min(backoff/2+rand.N(backoff/2), left))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return errStartCancelled
		}
	}
}

// newHandler makes a handler with the hooks, if there are any.
func (d *daemon) newHandler(c tusd.Config) (*tusd.Handler, error) {
	if d.hooks == nil {
		return tusd.NewHandler(c)
	}
	return d.hooks.NewHandler(c)
}

// cancellableStore is a store whose Open is cancelled when until ends. If until
// has ended before Open, Open runs all the same and reports what is wrong.
type cancellableStore struct {
	tusd.DataStore
	until context.Context
}

// Open implements tusd.DataStore.
func (c *cancellableStore) Open(ctx context.Context, env tusd.Env) error {
	if c.until.Err() != nil {
		return c.DataStore.Open(ctx, env)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.until, func() { cancel(errStartCancelled) })()
	err := c.DataStore.Open(ctx, env)
	if err != nil && context.Cause(ctx) == errStartCancelled {
		return errStartCancelled
	}
	return err
}
