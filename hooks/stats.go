package hooks

import (
	"sync/atomic"
	"time"

	"github.com/tus/tusd"
)

// Stats counts the calls of hooks. The maps themselves never change; it may be read at any
// time.
type Stats struct {
	Invocations map[tusd.EventType]*atomic.Uint64 // by type of event, also those that failed
	Errors      map[tusd.EventType]*atomic.Uint64
	// Duration is how long calls took, by the name of the hook and the type of event.
	Duration map[string]map[tusd.EventType]*tusd.Histogram
}

func newStats(hooks []Hook) *Stats {
	s := &Stats{
		Invocations: make(map[tusd.EventType]*atomic.Uint64),
		Errors:      make(map[tusd.EventType]*atomic.Uint64),
		Duration:    make(map[string]map[tusd.EventType]*tusd.Histogram),
	}
	for _, hook := range hooks {
		s.Duration[hook.Name()] = make(map[tusd.EventType]*tusd.Histogram)
	}
	for _, event := range AllEvents {
		s.Invocations[event], s.Errors[event] = new(atomic.Uint64), new(atomic.Uint64)
		for _, byType := range s.Duration {
			byType[event] = new(tusd.Histogram)
		}
	}
	return s
}

// called counts a call.
func (s *Stats) called(hook Hook, event tusd.EventType, took time.Duration, err error) {
	s.Invocations[event].Add(1)
	if err != nil {
		s.Errors[event].Add(1)
	}
	s.Duration[hook.Name()][event].Observe(took)
}
