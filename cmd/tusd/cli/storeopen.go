package cli

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/tus/tusd"
)

// errEndedAtStart is the error of a start that waits when it is told to end.
var errEndedAtStart = errors.New("told to end before the start was done")

// The pauses between attempts to open the backend: the first, and the longest.
const (
	firstOpenPause = 250 * time.Millisecond
	maxOpenPause   = 4 * time.Second
)

// openUploads makes the handler, which opens the backend. After a restart of all
// machines the server may be there before the service is that keeps its uploads: it
// tries again as long as the backend's patience lasts. Clients wait meanwhile, as
// the sockets are open.
func (d *daemon) openUploads(ctx context.Context) error {
	began := time.Now()
	for pause := firstOpenPause; ; pause = min(2*pause, maxOpenPause) {
		composer := d.parts.composer()
		composer.Core = &endableCore{DataStore: composer.Core, until: ctx}
		uploads, err := tusd.NewHandler(handlerConfig(d.cfg, composer, d.logger))
		if err == nil {
			d.uploads = uploads
			return nil
		}
		rest := d.parts.storage.retryFor(err) - time.Since(began)
		if rest <= 0 || errors.Is(err, errEndedAtStart) {
			return d.parts.storage.advised(err)
		}
		d.logger.Warn("the start waits: the store is out of reach", "err", err, "left", rest.Round(time.Second/10))
		timer := time.NewTimer(min(pause/2+rand.N(pause/2), rest))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return errEndedAtStart
		}
	}
}

// endableCore is a store whose Open ends with until. A start that was told to end
// before it came here still says what is wrong.
type endableCore struct {
	tusd.DataStore
	until context.Context
}

// Open implements tusd.DataStore.
func (c *endableCore) Open(ctx context.Context, env tusd.Env) error {
	if c.until.Err() != nil {
		return c.DataStore.Open(ctx, env)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.until, func() { cancel(errEndedAtStart) })()
	err := c.DataStore.Open(ctx, env)
	if err != nil && context.Cause(ctx) == errEndedAtStart {
		return errEndedAtStart
	}
	return err
}
