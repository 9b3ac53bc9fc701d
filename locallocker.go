package tusd

import (
	"context"

	"github.com/tus/tusd/internal/locallock"
)

// LocalLocker locks within one process. A composer without a locker uses one. Package
// memorylocker exports it for programs that compose by hand. The zero value is ready to
// use.
type LocalLocker struct {
	locks locallock.Locker
}

// Scope returns ScopeProcess.
func (l *LocalLocker) Scope() Scope { return ScopeProcess }

// Lock implements Locker. Without contention it takes well below a microsecond.
func (l *LocalLocker) Lock(ctx context.Context, id string, mode LockMode) (Lease, error) {
	lease, err := l.locks.Lock(ctx, id, locallock.Mode(mode))
	switch {
	case err == nil:
		return lease, nil
	case err == locallock.ErrLocked:
		return nil, ErrUploadLocked
	case ctx.Err() == context.DeadlineExceeded:
		return nil, ErrLockTimeout.With(err)
	}
	return nil, err
}

var _ PreemptNotifier = (*locallock.Lease)(nil)
