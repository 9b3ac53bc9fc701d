package filelocker

import (
	"context"
	"errors"
	"time"

	"github.com/tus/tusd"
)

// lease is a grant. Its Context and Preempted are those of the lock within the
// process, which the watcher asks for other processes.
type lease struct {
	tusd.Lease
	locker    *FileLocker
	id        string
	hash      uint64
	n, before uint64
	since     time.Time

	// guarded by locker.mu
	beside *lease // with the same hash
	asking bool   // it has the ask slot
	left   bool
}

// without removes s from the leases that are linked to first.
func without(first, s *lease) *lease {
	if first == nil || first == s {
		return s.beside
	}
	first.beside = without(first.beside, s)
	return first
}

// Fence implements tusd.Lease.
func (s *lease) Fence() (n, before uint64) { return s.n, s.before }

// Unlock implements tusd.Lease.
func (s *lease) Unlock(ctx context.Context) error {
	return errors.Join(s.locker.leave(s), s.Lease.Unlock(ctx))
}
