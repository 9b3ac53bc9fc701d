package hooks

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/tus/tusd"
)

// Config configures hooks. The zero value of each field but Hooks means its default.
type Config struct {
	// Hooks get the events, in this order.
	Hooks []Hook
	// Events are the types of events that the hooks get; none: DefaultEvents.
	Events []tusd.EventType

	// BestEffort, GiveUpAfter, AtOnce, MaxBytes and KeepHeaders are those of tusd.Delivery, for
	// the post-* events.
	BestEffort  bool
	GiveUpAfter time.Duration
	AtOnce      int
	MaxBytes    int64
	KeepHeaders []string

	// Logger gets the failures in the delivery of post-* events, a line a minute for each hook and
	// type of event; nil: slog.Default. Failures of pre-* events are in the log of the request.
	Logger *slog.Logger
}

// DefaultEvents are the events of tusd v2.
var DefaultEvents = []tusd.EventType{
	tusd.EventPreCreate, tusd.EventPostCreate, tusd.EventPostReceive, tusd.EventPreFinish, tusd.EventPostFinish,
	tusd.EventPreTerminate, tusd.EventPostTerminate,
}

// AllEvents are the events that hooks can get.
var AllEvents = append([]tusd.EventType{tusd.EventPreAccess, tusd.EventPostExpire}, DefaultEvents...)

// withDefaults validates c and returns it with zero values replaced by defaults.
func (c Config) withDefaults() (Config, error) {
	if len(c.Hooks) == 0 {
		return c, errors.New("hooks: Config.Hooks is empty")
	}
	if len(c.Hooks) > maxHooks {
		return c, fmt.Errorf("hooks: more than %d hooks", maxHooks)
	}
	if len(c.Events) == 0 {
		c.Events = DefaultEvents
	}
	for _, event := range c.Events {
		if !slices.Contains(AllEvents, event) {
			return c, fmt.Errorf("hooks: there is no event %q", event)
		}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c, nil
}

// wants reports whether the hooks get events of this type.
func (c *Config) wants(event tusd.EventType) bool { return slices.Contains(c.Events, event) }

// postEvents returns the types that are delivered in the background.
func (c *Config) postEvents() (types []tusd.EventType) {
	for _, event := range []tusd.EventType{tusd.EventPostCreate, tusd.EventPostReceive, tusd.EventPostFinish, tusd.EventPostTerminate, tusd.EventPostExpire} {
		if c.wants(event) {
			types = append(types, event)
		}
	}
	return types
}
