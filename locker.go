package tusd

import (
	"context"
)

// Scope is how far a Locker's exclusion reaches.
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

// LockMode is what Lock does if the lock has a holder.
type LockMode int

// The modes.
const (
	LockPreempt LockMode = iota // preempt the holder, then wait; the newest LockPreempt goes first
	LockWait                    // wait without preempting, behind every LockPreempt, in order of arrival
	LockTry                     // do not wait
)

// Locker grants exclusive leases on upload ids. Implementations are safe for concurrent
// use. An id is any string that ValidateID accepts.
type Locker interface {
	// Lock waits until ctx ends at most. It returns
	//   - ErrUploadLocked: LockTry met a lock that has a holder, or a newer
	//     LockPreempt came while this LockPreempt waited;
	//   - ErrLockTimeout: ctx's deadline passed;
	//   - ctx's cause: ctx was cancelled for another reason;
	//   - ErrLockServiceUnavailable with the cause, or any other error: the
	//     locker cannot lock now. Nothing is locked.
	// After an error the caller has no lock. A holder that dies loses its lock
	// through the operating system or the end of its lease, never because a
	// process id looks dead.
	Lock(ctx context.Context, id string, mode LockMode) (Lease, error)

	// Scope returns how far the exclusion reaches. Constant.
	Scope() Scope
}

// Lease is a lock that is held until Unlock, or until it is lost. Safe for
// concurrent use.
type Lease interface {
	// Context returns a context that has the values of the context that was passed to
	// Lock, but not its end. It ends when the grant is lost, then its cause matches
	// ErrLockLost, or when Unlock was called. After it ended because of a loss, another
	// request may have the lock: nothing more may be written.
	Context() context.Context

	// Preempted is closed when a newer request preempts the holder. The holder unlocks
	// as soon as its data is safe; it is not forced to.
	Preempted() <-chan struct{}

	// Fence numbers the grants of one id: n is greater than in every earlier grant;
	// before is the n of the grant just before this one, 0 if that is not known. A
	// state that was read or written under grant m is still true under this one if
	// before == m. n == 0: this locker has no fences.
	Fence() (n, before uint64)

	// Unlock releases the lock. It is bounded in time (also by ctx), and idempotent: a
	// second call, or one after a loss, does nothing and returns nil. An error means
	// that other requests may have to wait for the lease's end.
	Unlock(ctx context.Context) error
}

// PreemptNotifier is a Lease that calls a function when its holder is preempted. It is
// optional. For a Lease without it, each request that receives content has a goroutine
// that waits for Preempted.
type PreemptNotifier interface {
	Lease

	// AfterPreempt sets the function that is called, once and in a goroutine of its own,
	// when Preempted is closed. If it is closed already, f is called now. A later call
	// replaces a function that was not called yet, and nil removes it. After Unlock f may
	// still be called, and has to allow for that.
	AfterPreempt(f func())
}

// CheckLease is for stores. It returns nil if the holder of lease may change an upload
// now, ErrNoLease if lease is nil, and otherwise the cause of the end of the lease or
// of ctx. The lease may be lost right afterwards: long operations check it again.
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
