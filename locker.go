package tusd

import (
	"context"
)

// Scope tells how far a Locker's exclusion reaches.
type Scope int

// The scopes, from the narrowest.
const (
	ScopeProcess Scope = iota // this process only
	ScopeMachine              // all processes of this machine (locks of the operating system)
	ScopeLease                // all holders of leases from one service, which can be lost
)

func (s Scope) String() string {
	switch s {
	case ScopeProcess:
		return "process"
	case ScopeMachine:
		return "machine"
	case ScopeLease:
		return "lease"
	}
	return "unknown scope"
}

// LockMode says how Lock treats a lock that is held.
type LockMode int

// The modes.
const (
	LockPreempt LockMode = iota // ask the holder to let go, then wait; the newest asker goes first
	LockWait                    // wait without asking, behind all who ask, in order of arrival
	LockTry                     // do not wait
)

// Locker gives out exclusive leases on upload ids. Implementations are safe
// for concurrent use. An id is any string that ValidateID accepts.
type Locker interface {
	// Lock waits until ctx ends at the most. It returns
	//   - ErrUploadLocked: LockTry met a held lock, or a newer LockPreempt came
	//     while this LockPreempt waited;
	//   - ErrLockTimeout: ctx's deadline passed;
	//   - ctx's cause: ctx was cancelled for another reason;
	//   - any other error: the lock service could not be asked. Trouble
	//     that passes; nothing is locked.
	// After an error no lock is held. A holder that dies loses its lock by
	// the doing of the operating system or of a lease's end, never because
	// a process id looks dead.
	Lock(ctx context.Context, id string, mode LockMode) (Lease, error)

	// Scope tells how far the exclusion reaches. Constant.
	Scope() Scope
}

// Lease is a lock that is held until Unlock, or until it is lost. Safe for
// concurrent use.
type Lease interface {
	// Context has the values of the context that was passed to Lock, but not
	// its end. It ends when the grant is lost, then its cause matches
	// ErrLockLost, or when Unlock was called. After it ended because of a
	// loss, somebody else may hold the lock: nothing more may be written.
	Context() context.Context

	// Preempted is closed when a newer request asks for the lock. The holder
	// lets go as soon as what it has is safe; it is not forced to.
	Preempted() <-chan struct{}

	// Fence numbers the grants of one id: n is greater than in every earlier
	// grant; before is the n of the grant just before this one, 0 if that is
	// not known. A state that was read or written under grant m is still
	// true under this one if before == m. n == 0: this locker has no fences.
	Fence() (n, before uint64)

	// Unlock gives the lock back. It is bounded in time (also by ctx), and
	// idempotent: a second call, or one after a loss, does nothing and
	// returns nil. An error means that others may have to wait for the
	// lease's end.
	Unlock(ctx context.Context) error
}

// CheckLease is for stores: it returns nil if the holder of lease may change an
// upload now, ErrNoLease if lease is nil, and else the cause of the end of the
// lease or of ctx. The lease may be lost right afterwards: what takes long asks
// again.
func CheckLease(ctx context.Context, lease Lease) error {
	if lease == nil {
		return ErrNoLease
	}
	if held := lease.Context(); held.Err() != nil {
		return context.Cause(held)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

var _ Locker = (*LocalLocker)(nil)
