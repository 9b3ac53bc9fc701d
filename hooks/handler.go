package hooks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tus/tusd"
)

// Handler is a tusd.Handler with hooks. Shutdown closes them, too.
type Handler struct {
	*tusd.Handler
	Hooks *Hooks
}

// NewHandler is tusd.NewHandler with hooks: New and Hooks.NewHandler in one call.
func NewHandler(ctx context.Context, config tusd.Config, c Config) (*Handler, error) {
	h, err := New(ctx, c)
	if err != nil {
		return nil, err
	}
	handler, err := h.NewHandler(config)
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return &Handler{handler, h}, nil
}

// Shutdown is that of tusd.Handler. Afterwards it closes the hooks, also if ctx has ended.
func (h *Handler) Shutdown(ctx context.Context) error {
	err := h.Handler.Shutdown(ctx)
	return errors.Join(err, h.Hooks.Close())
}

// New sets up hooks. ctx limits that. After an error, those that were set up are closed.
func New(ctx context.Context, c Config) (*Hooks, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	for i, hook := range c.Hooks {
		if err := hook.Setup(ctx); err != nil {
			err = fmt.Errorf("hooks: %s: %w", hook.Name(), err)
			for _, earlier := range c.Hooks[:i] {
				err = errors.Join(err, earlier.Close())
			}
			return nil, err
		}
	}
	h := &Hooks{
		config: c, stats: newStats(c.Hooks), serving: make(chan struct{}),
		accepted: make(map[string]acceptance), warned: make(map[string]time.Time), stopping: make(map[string]chan struct{}),
	}
	h.ctx, h.end = context.WithCancelCause(context.Background())
	h.work.Panicked = func(value any) { c.Logger.Error("a panic in background work of hooks", "panic", value) }
	return h, nil
}

// NewHandler is tusd.NewHandler for a handler with these hooks. After an error it may be called
// again; after a success it may not. It uses config.Delivery, which must be nil, and
// config.PartialFinish. Callbacks of the program are called first; the hooks are asked if they
// agree, and their changes take precedence. config.Events stays as it is.
//
// The program calls Close after the Shutdown of the handler.
func (h *Hooks) NewHandler(config tusd.Config) (*tusd.Handler, error) {
	if config.Delivery != nil {
		return nil, errors.New("hooks: tusd.Config.Delivery is for the hooks")
	}
	config.Callbacks = h.callbacks(config.Callbacks)
	config.PartialFinish = config.PartialFinish || h.config.wants(tusd.EventPreFinish) || h.config.wants(tusd.EventPostFinish)
	if types := h.config.postEvents(); len(types) > 0 {
		config.Delivery = &tusd.Delivery{
			Receiver: receiver{h}, Types: types, BestEffort: h.config.BestEffort, GiveUpAfter: h.config.GiveUpAfter,
			AtOnce: h.config.AtOnce, MaxBytes: h.config.MaxBytes, KeepHeaders: h.config.KeepHeaders,
		}
	}
	handler, err := tusd.NewHandler(config)
	if err != nil {
		return nil, err
	}
	h.handler = handler
	close(h.serving)
	return handler, nil
}

// closeTimeout is how long Close waits for calls of hooks whose context has ended.
const closeTimeout = 10 * time.Second

// Close ends the calls of hooks that run, waits for that, at most 10 s, and closes all hooks,
// once. Later calls fail.
func (h *Hooks) Close() error {
	h.closing.Do(func() {
		h.end(errClosed)
		ctx, cancel := context.WithTimeoutCause(context.Background(), closeTimeout, errors.New("hooks: calls go on"))
		defer cancel()
		h.closed = h.work.Wait(ctx)
		for _, hook := range h.config.Hooks {
			h.closed = errors.Join(h.closed, hook.Close())
		}
	})
	return h.closed
}

// Stats returns the counters of the calls of hooks.
func (h *Hooks) Stats() *Stats { return h.stats }
