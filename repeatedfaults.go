package tusd

import (
	"errors"
	"log/slog"
	"sync"
	"time"
)

// A fault of the server that every request meets again is logged at its own level once
// per faultInterval, so that neither clients nor the number of uploads determine the number
// of such lines.
const (
	faultInterval = time.Minute
	maxFaults     = 256 // different faults in that time; further ones are logged as information
)

// repeatedFaults are the faults that were logged at their own level. The zero value is
// ready to use.
type repeatedFaults struct {
	mu     sync.Mutex
	logged map[string]time.Time
}

// mayLog reports whether the fault is to be logged at its own level now, and records
// that it is.
func (f *repeatedFaults) mayLog(fault string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at, known := f.logged[fault]; known && now.Sub(at) < faultInterval {
		return false
	}
	if len(f.logged) >= maxFaults {
		f.evictOld(now)
	}
	if len(f.logged) >= maxFaults {
		return false
	}
	if f.logged == nil {
		f.logged = make(map[string]time.Time)
	}
	f.logged[fault] = now
	return true
}

// evictOld removes the faults that may be logged again. The caller holds mu.
func (f *repeatedFaults) evictOld(now time.Time) {
	for fault, at := range f.logged {
		if now.Sub(at) >= faultInterval {
			delete(f.logged, fault)
		}
	}
}

// workLog returns the log for an error of work in the background. It is silent for an outage
// of the lock service, which has a line already, and makes all such work fail.
func (e *engine) workLog(err error) *slog.Logger {
	known := errors.Is(err, ErrLockServiceUnavailable) ||
		errors.Is(err, ErrLockLost) && !e.faults.mayLog(ErrLockLost.Code, time.Now())
	if known {
		return slog.New(slog.DiscardHandler)
	}
	return e.log
}
