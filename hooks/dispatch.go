package hooks

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/background"
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

	work background.Group // calls of hooks, and removals of stopped uploads
	ctx  context.Context  // of work; ended by Close
	end  context.CancelCauseFunc

	mu       sync.Mutex
	accepted map[string]acceptance    // by event ID; without post-receive, which comes once
	warned   map[string]time.Time     // by hook, type of event and message
	stopping map[string]chan struct{} // by id and time of creation, see stop
}

// acceptance tells which hooks have an event.
type acceptance struct {
	by uint64    // a bit for each hook
	at time.Time // when it was delivered last
}

var errClosed = errors.New("the hooks are closed")

// invoke calls one hook. Of an answer that is none, StopUpload counts all the same.
func (h *Hooks) invoke(ctx context.Context, hook Hook, request HookRequest) (HookResponse, error) {
	if !h.work.Enter() {
		return HookResponse{}, errClosed
	}
	defer h.work.Leave()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(h.ctx, func() { cancel(errClosed) })()
	begun := time.Now()
	response, err := hook.InvokeHook(ctx, request)
	switch {
	case errors.Is(err, ErrNothingToCall):
		response, err = HookResponse{silent: true}, nil
	case err != nil:
		response = HookResponse{}
	default:
		if err = response.check(); err != nil {
			response = HookResponse{StopUpload: response.StopUpload}
		}
	}
	h.stats.called(hook, request.Type, time.Since(begun), err)
	if err != nil {
		return response, fmt.Errorf("%s hook %s: %w", hook.Name(), request.Type, err)
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
		case err != nil && response.StopUpload:
			h.warn(hook, event, "the answer of a hook is ignored, except StopUpload", err)
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
			h.stop(event.Upload, response.HTTPResponse)
		}
	}
	again := failed != nil && !h.config.BestEffort && event.Type != tusd.EventPostReceive
	h.setAccepted(event.ID, accepted, again)
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
	return h.accepted[id].by
}

const (
	// maxAccepted limits how many events are remembered that some hooks have, and others have not.
	maxAccepted = 10_000
	// deadAfter is longer than the time between two deliveries of an event: one that has not come
	// again is dead, or waits in the store.
	deadAfter = 15 * time.Minute
)

// setAccepted remembers which hooks have an event that comes again.
func (h *Hooks) setAccepted(id string, by uint64, again bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !again || by == 0 {
		delete(h.accepted, id)
		return
	}
	now := time.Now()
	if len(h.accepted) >= maxAccepted {
		maps.DeleteFunc(h.accepted, func(_ string, a acceptance) bool { return now.Sub(a.at) > deadAfter })
	}
	if len(h.accepted) >= maxAccepted {
		clear(h.accepted) // these events may come again to a hook that has them
	}
	h.accepted[id] = acceptance{by, now}
}
