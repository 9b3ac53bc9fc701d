package tusd

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// A fault of ours that every request meets again is told once in faultInterval
// at its own level, so that clients do not choose how many such lines there are.
const (
	faultInterval = time.Minute
	maxFaults     = 256 // different ones in that time; further ones are told as information
)

// repeatedFaults are the faults that were told. The zero value is ready to use.
type repeatedFaults struct {
	mu     sync.Mutex
	logged map[string]time.Time
}

// due reports whether the fault is to be told now, and remembers that it is.
func (a *repeatedFaults) due(fault string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at, known := a.logged[fault]; known && now.Sub(at) < faultInterval {
		return false
	}
	if len(a.logged) >= maxFaults {
		a.forget(now)
	}
	if len(a.logged) >= maxFaults {
		return false
	}
	if a.logged == nil {
		a.logged = make(map[string]time.Time)
	}
	a.logged[fault] = now
	return true
}

// forget drops what may be told again. The caller holds mu.
func (a *repeatedFaults) forget(now time.Time) {
	for fault, at := range a.logged {
		if now.Sub(at) >= faultInterval {
			delete(a.logged, fault)
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
	if !x.h.faults.due(fault, now) {
		return slog.LevelInfo
	}
	return level
}
