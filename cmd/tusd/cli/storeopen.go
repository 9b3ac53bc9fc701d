package cli

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/tus/tusd"
)

// errStartCancelled is the error of a start that waits when it is told to end.
var errStartCancelled = errors.New("told to end before the start was done")

// The pauses between attempts to open the backend: the first, and the longest.
const (
	minOpenBackoff = 250 * time.Millisecond
	maxOpenBackoff = 4 * time.Second
)

// openStore makes the handler, which opens the backend. After a restart of all
// machines the server may be there before the service is that keeps its uploads: it
// tries again as long as the backend's patience lasts. Clients wait meanwhile, as
// the sockets are open.
func (d *daemon) openStore(ctx context.Context) error {
	began := time.Now()
	for pause := minOpenBackoff; ; pause = min(2*pause, maxOpenBackoff) {
		composer := d.composition.composer()
		composer.Core = &cancellableStore{DataStore: composer.Core, until: ctx}
		uploads, err := tusd.NewHandler(handlerConfig(d.cfg, composer, d.logger))
		if err == nil {
			d.uploads = uploads
			return nil
		}
		rest := d.composition.storage.retryFor(err) - time.Since(began)
		if rest <= 0 || errors.Is(err, errStartCancelled) {
			return d.composition.storage.advised(err)
		}
		d.logger.Warn("the start waits: the store is out of reach", "err", err, "left", rest.Round(time.Second/10))
		timer := time.NewTimer(min(pause/2+rand.N(pause/2), rest))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return errStartCancelled
		}
	}
}

// cancellableStore is a store whose Open ends with until. A start that was told to end
// before it came here still says what is wrong.
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
