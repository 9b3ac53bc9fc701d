package lease

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/locallock"
)

// lease is a lease of a Locker. It has the Preempted and AfterPreempt of the lock within
// the process.
type lease struct {
	*locallock.Lease
	locker    *Locker
	request   *Request
	n, before uint64

	ctx      context.Context // a leaseContext
	end      context.CancelCauseFunc
	until    atomic.Pointer[time.Time] // it is lost then
	expiry   *time.Timer
	lost     atomic.Bool
	released atomic.Bool
}

var _ tusd.PreemptNotifier = (*lease)(nil)

func newLease(l *Locker, local *locallock.Lease, r *Request) *lease {
	return &lease{Lease: local, locker: l, request: r}
}

// begin starts the lease whose time to live counts from sent. It reports whether the lease
// is still valid.
func (s *lease) begin(ctx context.Context, sent time.Time) bool {
	s.extend(sent)
	left := s.left()
	if left <= 0 {
		return false
	}
	inner, end := context.WithCancelCause(context.WithoutCancel(ctx))
	s.ctx, s.end = leaseContext{inner, s}, end
	s.expiry = time.AfterFunc(left, s.expire)
	return true
}

// extend makes the lease valid for a time to live after sent, less the margin.
func (s *lease) extend(sent time.Time) {
	until := sent.Add(s.locker.TTL - s.locker.Margin)
	s.until.Store(&until)
}

// left returns how long the lease is still valid, by the clock that counts seconds and by
// the time of day. The first one stands still while a machine is suspended; the second one
// may be set, which ends the lease early at worst.
func (s *lease) left() time.Duration {
	until, now := *s.until.Load(), time.Now()
	return min(until.Sub(now), until.Round(0).Sub(now.Round(0)))
}

// expire loses the lease if it was not extended.
func (s *lease) expire() {
	if left := s.left(); left > 0 {
		s.expiry.Reset(left)
		return
	}
	s.lose(errExpired)
}

var errExpired = errors.New("it was not renewed in time")

// lose ends the lease's context with ErrLockLost, unless it has ended already. When it
// returns, the context has ended, also if another goroutine loses the lease at the same time.
func (s *lease) lose(cause error) {
	if s.released.Load() {
		return
	}
	s.end(tusd.ErrLockLost.With(fmt.Errorf("lease of %s: %w", s.locker.Service, cause)))
	if s.lost.CompareAndSwap(false, true) {
		s.locker.counts.lost.Add(1)
	}
}

// Context implements tusd.Lease.
func (s *lease) Context() context.Context { return s.ctx }

// Fence implements tusd.Lease.
func (s *lease) Fence() (n, before uint64) { return s.n, s.before }

// Unlock implements tusd.Lease. If the service cannot be reached, the lock is released
// when it can, or expires. The end of ctx counts at the call only, apart from its deadline:
// ctx is often the context of the lease, which ends now.
func (s *lease) Unlock(ctx context.Context) error {
	if !s.released.CompareAndSwap(false, true) {
		return nil
	}
	defer s.Lease.Unlock(ctx) // never fails
	ended := ctx.Err() != nil
	s.expiry.Stop()
	s.end(nil)
	s.locker.forget(s)
	if ended {
		s.locker.releaseLater(s.request)
		if s.lost.Load() {
			return nil
		}
		return context.Cause(ctx)
	}
	released := context.WithoutCancel(ctx)
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		released, cancel = context.WithDeadline(released, deadline)
		defer cancel()
	}
	return s.locker.release(released, s)
}

// leaseContext is the context of a lease. Its Err compares the time itself: the timer of
// a process that was stopped may be late.
type leaseContext struct {
	context.Context
	lease *lease
}

func (c leaseContext) Err() error {
	if c.lease.left() <= 0 {
		c.lease.lose(errExpired)
	}
	return c.Context.Err()
}
