package tusd

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// A fault of ours that every request meets again is told once in alarmInterval
// at its own level, so that clients do not choose how many such lines there are.
const (
	alarmInterval = time.Minute
	maxAlarms     = 256 // different ones in that time; further ones are told as information
)

// alarms are the faults that were told. The zero value is ready to use.
type alarms struct {
	mu   sync.Mutex
	told map[string]time.Time
}

// due reports whether the fault is to be told now, and remembers that it is.
func (a *alarms) due(fault string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at, known := a.told[fault]; known && now.Sub(at) < alarmInterval {
		return false
	}
	if len(a.told) >= maxAlarms {
		a.forget(now)
	}
	if len(a.told) >= maxAlarms {
		return false
	}
	if a.told == nil {
		a.told = make(map[string]time.Time)
	}
	a.told[fault] = now
	return true
}

// forget drops what may be told again. The caller holds mu.
func (a *alarms) forget(now time.Time) {
	for fault, at := range a.told {
		if now.Sub(at) >= alarmInterval {
			delete(a.told, fault)
		}
	}
}

// level returns the level of the line of the request: what clients do is
// information, what is wrong with the server is more.
func (x *exchange) level(now time.Time) slog.Level {
	if x.cause == nil || x.r.Context().Err() != nil && errors.Is(x.cause, context.Canceled) {
		return slog.LevelInfo // a client that went away is no error of ours
	}
	e := asError(x.cause)
	level, fault := logFor(e), ""
	switch {
	case level == slog.LevelInfo:
		return level
	case errors.Is(e.Err, ErrBroken):
		fault = e.Code + " " + x.upload()
	case e.Is(ErrNoSpace):
		if errors.Is(x.cause, ErrAnnouncedOnly) {
			return slog.LevelInfo // which any client can do
		}
		fault = e.Code
	default:
		return level
	}
	if !x.h.alarms.due(fault, now) {
		return slog.LevelInfo
	}
	return level
}
