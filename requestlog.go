package tusd

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/tus/tusd/internal/loglimit"
)

// errPanicked is the logged cause if the handler panics. net/http logs the panic
// itself.
var errPanicked = errors.New("serving the request panicked")

// log writes the log line of the request.
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
	// Not Logger.LogAttrs, which looks up the line of code that calls it.
	line := slog.NewRecord(now, level, "request", 0)
	attributes := append(make([]slog.Attr, 0, 11), // added by one call, so that one slice is allocated
		slog.String("method", loglimit.Cut(x.method, loglimit.Text)),
		slog.String("path", loglimit.Cut(x.r.RequestURI, loglimit.Text)),
		slog.Int("status", x.status),
		slog.Int64("received", x.body.received.Load()),
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
	x.h.log.Handler().Handle(ctx, line) // the error is ignored, as a Logger does
}

// level returns the level of the request's log line: INFO if a client is the cause,
// more for faults of the server, and DEBUG for one that the locker has logged.
func (x *exchange) level(now time.Time) slog.Level {
	if x.cause == nil || x.r.Context().Err() != nil && errors.Is(x.cause, context.Canceled) {
		return slog.LevelInfo // a client that disconnects is no fault of the server
	}
	e := asError(x.cause)
	level, fault := logLevel(e), ""
	switch {
	case level <= slog.LevelInfo:
		return level
	case errors.Is(e.Err, ErrBroken):
		fault = e.Code + " " + x.uploadID()
	case e.Is(ErrNoSpace):
		if errors.Is(x.cause, ErrAnnouncedOnly) {
			return slog.LevelInfo // any client can cause this
		}
		fault = e.Code
	case e.Is(ErrLockLost): // an outage of the lock service ends all leases
		fault = e.Code
	default:
		return level
	}
	if !x.h.engine.faults.mayLog(fault, now) {
		return slog.LevelInfo
	}
	return level
}

// logLevel returns the level at which an error is logged: faults of the server as
// errors, broken records as warnings, what clients and networks cause as information, an
// outage of the lock service for debugging.
func logLevel(e *Error) slog.Level {
	switch {
	case errors.Is(e.Err, ErrBroken):
		return slog.LevelWarn
	case e.Is(ErrInternal), e.Is(ErrNoSpace), e.Is(ErrFinishFailed), e.Is(ErrLockLost):
		return slog.LevelError
	case e.Is(ErrLockServiceUnavailable):
		return slog.LevelDebug // every request fails by it: one line tells the outage
	}
	return slog.LevelInfo
}

// addressName returns an address for the log.
func addressName(addr netip.Addr) string {
	if addr.IsValid() {
		return addr.String()
	}
	return "unix"
}
