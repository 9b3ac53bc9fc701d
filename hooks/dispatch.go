package hooks

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tus/tusd"
)

// Hooks calls hooks for a handler. Safe for concurrent use.
type Hooks struct {
	config Config // with defaults
	stats  *Stats
	access accessCache

	handler *tusd.Handler
	serving chan struct{} // closed when handler is set
	closing sync.Once
	closed  error

	mu       sync.Mutex
	accepted map[string]uint64    // by event ID: a bit for each hook that has the event
	warned   map[string]time.Time // by hook, type of event and message
}

// invoke calls one hook.
func (h *Hooks) invoke(ctx context.Context, hook Hook, request HookRequest) (HookResponse, error) {
	begun := time.Now()
	response, err := hook.InvokeHook(ctx, request)
	if err == nil {
		err = response.check()
	}
	h.stats.called(hook, request.Type, time.Since(begun), err)
	if err != nil {
		return HookResponse{}, fmt.Errorf("%s hook %s: %w", hook.Name(), request.Type, err)
	}
	return response, nil
}

// maxHooks is how many hooks there can be: accepted has a bit for each.
const maxHooks = 64

// receiver is Hooks as the receiver of events.
type receiver struct{ *Hooks }

// Deliver implements tusd.EventReceiver.
func (r receiver) Deliver(ctx context.Context, event tusd.Event) error { return r.deliver(ctx, event) }

// deliver gives an event to every hook. After an error, the hooks that have it are not called
// again by this process.
func (h *Hooks) deliver(ctx context.Context, event tusd.Event) error {
	var failed error
	accepted := h.acceptedBy(event.ID)
	for i, hook := range h.config.Hooks {
		if accepted&(1<<i) != 0 {
			continue
		}
		response, err := h.invoke(ctx, hook, newRequest(event))
		switch {
		case errors.Is(err, ErrUnreadable):
			h.warn(hook, event, "the answer of a hook is ignored", err)
		case err != nil:
			failed = errors.Join(failed, err)
			if !h.config.BestEffort && event.Type != tusd.EventPostReceive { // else package tusd logs that it is lost
				h.warn(hook, event, "a hook has failed, its event comes again", err)
			}
			continue
		}
		accepted |= 1 << i
		if response.StopUpload && event.Type == tusd.EventPostReceive {
			h.stop(ctx, event.Upload.ID, response.HTTPResponse)
		}
	}
	h.setAccepted(event.ID, accepted, failed == nil || h.config.BestEffort)
	return failed
}

// warnInterval is the least time between two lines of warn for a hook, a type of event and a message.
const warnInterval = time.Minute

// warn logs an error of a hook. However many events wait, the log stays short.
func (h *Hooks) warn(hook Hook, event tusd.Event, message string, err error) {
	name, now := fmt.Sprint(hook.Name(), " ", event.Type, " ", message), time.Now()
	h.mu.Lock()
	last, known := h.warned[name]
	due := !known || now.Sub(last) >= warnInterval
	if due {
		h.warned[name] = now
	}
	h.mu.Unlock()
	if due {
		h.config.Logger.Warn(message, "event", event.Type, "id", event.Upload.ID, "attempts", event.Attempt, "err", err)
	}
}

func (h *Hooks) acceptedBy(id string) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.accepted[id]
}

// maxAccepted limits how many events are remembered that some hooks have, and others have not.
const maxAccepted = 10_000

func (h *Hooks) setAccepted(id string, by uint64, all bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if all || by == 0 {
		delete(h.accepted, id)
		return
	}
	if len(h.accepted) >= maxAccepted {
		clear(h.accepted) // these events may come again to a hook that has them
	}
	h.accepted[id] = by
}

// stop ends the running request on an upload with the answer of a hook, and removes the upload.
func (h *Hooks) stop(ctx context.Context, id string, answer HTTPResponse) {
	select {
	case <-h.serving:
	case <-ctx.Done():
		return
	}
	err := h.handler.TerminateWith(ctx, id, tusd.ErrUploadStopped.Refuse(answer.response()))
	if err != nil && !errors.Is(err, tusd.ErrNotFound) {
		h.config.Logger.Error("an upload that a hook has stopped could not be removed", "id", id, "err", err)
	}
}
