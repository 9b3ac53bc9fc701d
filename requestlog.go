package tusd

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/tus/tusd/internal/loglimit"
)

// errPanicked stands for what net/http is going to log.
var errPanicked = errors.New("serving the request panicked")

// log writes the line of the request.
func (x *exchange) log() {
	if !x.returned && x.cause == nil {
		x.code, x.cause = ErrInternal.Code, errPanicked
	}
	now := time.Now()
	level := x.level(now)
	ctx := context.WithoutCancel(x.r.Context())
	if !x.h.log.Enabled(ctx, level) {
		return
	}
	// Not Logger.LogAttrs: that looks up which line of code this is.
	line := slog.NewRecord(now, level, "request", 0)
	attributes := append(make([]slog.Attr, 0, 11), // one call to add them, and so one slice
		slog.String("method", loglimit.Cut(x.method, loglimit.Text)),
		slog.String("path", loglimit.Cut(x.r.RequestURI, loglimit.Text)),
		slog.Int("status", x.status),
		slog.Int64("received", x.body.n),
		slog.Int64("sent", x.written),
		slog.Duration("dur", now.Sub(x.started)),
		slog.String("request_id", x.requestID),
		slog.String("client", addressName(x.client())),
	)
	if id := x.uploadID(); id != "" {
		attributes = append(attributes, slog.String("id", id))
	}
	if x.cause != nil {
		attributes = append(attributes, slog.String("code", x.code), slog.String("err", x.cause.Error()))
	}
	line.AddAttrs(attributes...)
	x.h.log.Handler().Handle(ctx, line) // as a Logger, which has nobody to tell either
}

// level returns the level of the line of the request: what clients do is
// information, what is wrong with the server is more.
func (x *exchange) level(now time.Time) slog.Level {
	if x.cause == nil || x.r.Context().Err() != nil && errors.Is(x.cause, context.Canceled) {
		return slog.LevelInfo // a client that went away is no error of ours
	}
	e := asError(x.cause)
	level, fault := logLevel(e), ""
	switch {
	case level == slog.LevelInfo:
		return level
	case errors.Is(e.Err, ErrBroken):
		fault = e.Code + " " + x.uploadID()
	case e.Is(ErrNoSpace):
		if errors.Is(x.cause, ErrAnnouncedOnly) {
			return slog.LevelInfo // which any client can do
		}
		fault = e.Code
	default:
		return level
	}
	if !x.h.faults.mayLog(fault, now) {
		return slog.LevelInfo
	}
	return level
}

// logLevel picks how an error is logged: faults of ours as errors, broken
// records as warnings, what clients and networks do as information.
func logLevel(e *Error) slog.Level {
	switch {
	case errors.Is(e.Err, ErrBroken):
		return slog.LevelWarn
	case e.Is(ErrInternal), e.Is(ErrNoSpace), e.Is(ErrFinishFailed), e.Is(ErrLockLost):
		return slog.LevelError
	}
	return slog.LevelInfo
}

// addressName is an address for the log.
func addressName(addr netip.Addr) string {
	if addr.IsValid() {
		return addr.String()
	}
	return "unix"
}

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

// mayLog reports whether the fault is to be told now, and remembers that it is.
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

// evictOld drops what may be told again. The caller holds mu.
func (f *repeatedFaults) evictOld(now time.Time) {
	for fault, at := range f.logged {
		if now.Sub(at) >= faultInterval {
			delete(f.logged, fault)
		}
	}
}
