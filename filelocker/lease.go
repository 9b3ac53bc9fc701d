package filelocker

import (
	"context"
	"errors"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/locallock"
)

// lease is a lease of this locker. It has the Context, Preempted and
// AfterPreempt of the lock within the process.
type lease struct {
	*locallock.Lease
	locker    *FileLocker
	id        string
	hash      uint64
	n, before uint64
	since     time.Time

	// guarded by locker.mu
	next       *lease // lease with the same hash
	requesting bool   // it has requestSlot
	released   bool
}

// unlink removes s from the list of leases that begins with first.
func unlink(first, s *lease) *lease {
	if first == nil || first == s {
		return s.next
	}
	first.next = unlink(first.next, s)
	return first
}

var _ tusd.PreemptNotifier = (*lease)(nil)

// Fence implements tusd.Lease.
func (s *lease) Fence() (n, before uint64) { return s.n, s.before }

// Unlock implements tusd.Lease.
func (s *lease) Unlock(ctx context.Context) error {
	return errors.Join(s.locker.release(s), s.Lease.Unlock(ctx))
}
