package hooks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/tus/tusd"
)

// flaky is a hook that fails, or does not.
type flaky struct{ err error }

func (f flaky) Name() string                { return "flaky" }
func (f flaky) Setup(context.Context) error { return nil }
func (f flaky) Close() error                { return nil }

func (f flaky) InvokeHook(context.Context, HookRequest) (HookResponse, error) {
	return HookResponse{}, f.err
}

// Which hooks have an event is remembered only for events that come again.
func TestAcceptedEvents(t *testing.T) {
	h, err := New(t.Context(), Config{Hooks: []Hook{flaky{}, flaky{errors.New("down")}}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	for event, want := range map[tusd.EventType]int{tusd.EventPostReceive: 0, tusd.EventPostCreate: 1} {
		clear(h.accepted)
		if err := h.deliver(t.Context(), tusd.Event{Type: event, ID: string(event)}); err == nil || len(h.accepted) != want {
			t.Errorf("%s: %v, %d events are remembered, want %d", event, err, len(h.accepted), want)
		}
	}
	clear(h.accepted)
	for n := range maxAccepted - 1 {
		h.accepted[fmt.Sprint(n)] = acceptance{1, time.Now().Add(-2 * deadAfter)}
	}
	h.setAccepted("first", 1, true)
	h.setAccepted("second", 2, true)
	if h.acceptedBy("first") != 1 || h.acceptedBy("second") != 2 || len(h.accepted) != 2 {
		t.Errorf("dead events push out others: %d are left", len(h.accepted))
	}
}
