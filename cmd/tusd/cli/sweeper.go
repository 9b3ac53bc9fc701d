package cli

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/tus/tusd"
)

// sweeper sweeps the store of a daemon at intervals, one sweep at a time. The zero value
// does nothing.
type sweeper struct {
	stop context.CancelFunc
	done chan struct{} // closed when it has ended
}

// start sweeps until end is called: first after a random part of the interval, so that
// servers that are started together do not sweep together.
func (s *sweeper) start(interval time.Duration, sweep func(context.Context)) {
	ctx, stop := context.WithCancel(context.Background())
	s.stop, s.done = stop, make(chan struct{})
	go func() {
		defer close(s.done)
		for wait := rand.N(interval); ; wait = interval - interval/10 + rand.N(interval/5+1) {
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
				sweep(ctx)
			case <-ctx.Done():
				timer.Stop()
				return
			}
		}
	}()
}

// cancel ends a running sweep soon.
func (s *sweeper) cancel() {
	if s.stop != nil {
		s.stop()
	}
}

// wait returns when the sweeper has ended after cancel, or with the cause of ctx.
func (s *sweeper) wait(ctx context.Context) error {
	if s.done == nil {
		return nil
	}
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// startSweeper starts the sweeper if the flags want one.
func (d *daemon) startSweeper() {
	if interval := d.cfg.housekeeping.sweepInterval; interval > 0 {
		if !d.cfg.isOnlyWriter() {
			d.logger.Info("sweeps leave uploads in the bucket until 24 hours after their last change: " + unseenLocks)
		}
		d.sweeper.start(interval, func(ctx context.Context) { sweepOnce(ctx, d.uploads, d.cfg.sweepPolicy(), d.logger) })
	}
}

// sweepOnce sweeps and logs the result. The handler logs each removal; a dry run is logged
// here.
func sweepOnce(ctx context.Context, uploads *tusd.Handler, policy tusd.SweepPolicy, logger *slog.Logger) {
	defer func() {
		if r := recover(); r != nil {
			logger.Error("a sweep panicked", "panic", r, "stack", string(debug.Stack()))
		}
	}()
	if policy.DryRun {
		policy.Report = func(u tusd.SweptUpload) {
			if u.Err == nil {
				logger.Info("an upload would be swept", "id", u.Upload.ID, "class", string(u.Class), "changed", u.Upload.Changed, "bytes", u.Bytes)
			}
		}
		policy.ReportLeftover = func(l tusd.Leftover) {
			if l.Removed {
				logger.Info("a leftover would be removed", "kind", string(l.Kind), "name", l.Name, "bytes", l.Bytes, "changed", l.Changed)
			}
		}
	}
	began := time.Now()
	summary, err := uploads.Sweep(ctx, policy)
	removed := slog.Int("removed", summary.Removed)
	if policy.DryRun {
		removed = slog.Int("would_remove", summary.Removed)
	}
	logger = logger.With(slog.Int("uploads", summary.Uploads), removed, slog.Int64("bytes", summary.Bytes),
		slog.Int("failed", summary.Failed), slog.Int("leftovers", summary.Leftovers), slog.Int("kept", summary.Kept),
		slog.Bool("dry_run", policy.DryRun), slog.Duration("dur", time.Since(began)))
	switch {
	case err == nil:
		logger.Info("the store was swept")
	case ctx.Err() != nil || errors.Is(err, tusd.ErrServerShutdown):
		logger.Info("a sweep ends with the server")
	case errors.Is(err, tusd.ErrLockServiceUnavailable): // that has a line
		logger.Info("a sweep ends early, the next one comes in time", "err", err)
	default:
		logger.Error("a sweep failed, the next one comes in time", "err", err)
	}
}
