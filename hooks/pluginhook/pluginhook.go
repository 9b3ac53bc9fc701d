// Package pluginhook runs a plugin as a hook: a program in Go that tusd starts and calls over a
// socket, by github.com/hashicorp/go-plugin. Handshake and calls are those of tusd v2.
//
// A plugin is a program with this main function:
//
//	func main() { pluginhook.Serve(handler{}) }
package pluginhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/rpc"
	"sync"
	"time"

	"github.com/tus/tusd/hooks"
)

// Hook calls a plugin. If its process ends, the calls under way fail, and the next call starts it
// again. A process is ended if it answers no call for the Timeout of one.
type Hook struct {
	Path string // of the program
	// Timeout limits a call, with the start of the plugin if that is necessary; 0: 10 min. The
	// plugin does not learn that it has passed.
	Timeout time.Duration
	// Logger gets what the plugin writes to its standard output and error; nil: slog.Default.
	Logger *slog.Logger

	mu        sync.Mutex
	current   *process // nil: none was started
	closed    bool
	processes sync.WaitGroup // a goroutine for each process
}

var _ hooks.Hook = (*Hook)(nil)

const (
	defaultTimeout = 10 * time.Minute
	// restartDelay is the least time between two starts of a plugin.
	restartDelay = time.Second
)

// Name returns "plugin".
func (h *Hook) Name() string { return "plugin" }

// Setup starts the plugin and calls its Setup, whose error it returns.
func (h *Hook) Setup(ctx context.Context) error {
	if _, err := h.running(ctx); err != nil {
		return errors.Join(err, h.Close())
	}
	return nil
}

// Close ends the plugin: it asks, and kills after closeTimeout.
func (h *Hook) Close() error {
	h.mu.Lock()
	h.closed = true
	if h.current != nil {
		h.current.stop()
	}
	h.mu.Unlock()
	h.processes.Wait()
	return nil
}

// InvokeHook calls the plugin.
func (h *Hook) InvokeHook(ctx context.Context, request hooks.HookRequest) (hooks.HookResponse, error) {
	timeout := cmp.Or(h.Timeout, defaultTimeout)
	late := fmt.Errorf("the plugin has not answered within %v", timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, late)
	defer cancel()
	if ctx.Err() != nil {
		return hooks.HookResponse{}, context.Cause(ctx)
	}
	p, err := h.running(ctx)
	if err != nil {
		return hooks.HookResponse{}, err
	}
	answers := p.answers.Load()
	var response hooks.HookResponse
	call := p.calls.Go("Plugin.InvokeHook", request, &response, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
		p.answers.Add(1)
	case <-ctx.Done():
		if context.Cause(ctx) == late && p.answers.Load() == answers {
			p.broken.Store(true)
			p.stop()
		}
		return hooks.HookResponse{}, context.Cause(ctx)
	}
	var answered rpc.ServerError
	switch {
	case call.Error == nil:
		return response, nil
	case errors.As(call.Error, &answered):
		return hooks.HookResponse{}, answered
	}
	p.broken.Store(true)
	return hooks.HookResponse{}, fmt.Errorf("the plugin has ended: %w", call.Error)
}

// running returns a process that accepts calls. It waits until the plugin has started.
func (h *Hook) running(ctx context.Context) (*process, error) {
	p, err := h.process()
	if err != nil {
		return nil, err
	}
	select {
	case <-p.ready:
		return p, p.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// process returns the current process, which may be starting. It starts one if there is none.
func (h *Hook) process() (*process, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, errors.New("the plugin was closed")
	}
	if p := h.current; p != nil {
		if !p.dead() {
			return p, nil
		}
		p.stop()
		if time.Since(p.begun) < restartDelay {
			return nil, errors.New("the plugin has ended, and is started again soon")
		}
	}
	h.current = newProcess(h.Path, cmp.Or(h.Logger, slog.Default()))
	h.processes.Go(h.current.run)
	return h.current, nil
}
