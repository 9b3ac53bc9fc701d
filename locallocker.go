package tusd

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/tus/tusd/internal/contexts"
)

// LocalLocker locks within one process. A composer without a locker uses one. Package
// memorylocker exports it for programs that compose by hand. The zero value is ready to
// use.
type LocalLocker struct {
	// NoFences is for lockers that put a LocalLocker in front of theirs and number
	// grants themselves: the fences of its leases are 0 and cost no memory. Set before
	// first use.
	NoFences bool

	hash func(id string) idHash // nil: hashID; for tests

	mu    sync.Mutex
	locks map[string]*localLock
	// recent maps ids that are free to the number n of their last grant. It has at most
	// recentFences entries.
	//
	// Two ids with the same hash share an entry, which is safe. grants counts for all
	// ids, so each number belongs to one grant of one id. If another id has changed or
	// removed the entry, before is a number of that id, or 0. Neither is the n of a
	// grant of this id, so no state that was cached under such a grant is mistaken for
	// the newest.
	recent map[idHash]uint64
	grants uint64
}

// recentFences limits the memory for recent to 2.5 MiB. After an eviction before is 0,
// which is always safe.
const recentFences = 1 << 16

// localLock is the lock of one id while it has a holder.
type localLock struct {
	holder    *localLease
	preempter *localWaiter   // the newest waiting LockPreempt; it has overtaken all earlier ones
	queue     []*localWaiter // LockWait, in order of arrival
}

type localWaiter struct {
	ctx     context.Context
	granted chan *localLease // capacity 1; nil: overtaken
}

// Scope returns ScopeProcess.
func (l *LocalLocker) Scope() Scope { return ScopeProcess }

// Lock implements Locker. Without contention it takes well below a microsecond.
func (l *LocalLocker) Lock(ctx context.Context, id string, mode LockMode) (Lease, error) {
	if ctx.Err() != nil {
		return nil, lockWaitError(ctx)
	}
	l.mu.Lock()
	held := l.locks[id]
	if held == nil {
		defer l.mu.Unlock()
		if l.locks == nil {
			l.locks = make(map[string]*localLock)
			l.recent = make(map[idHash]uint64)
		}
		lease := l.grant(ctx, id, l.takeRecent(id))
		lease.lock.holder = lease
		l.locks[id] = &lease.lock
		return lease, nil
	}
	if mode == LockTry {
		l.mu.Unlock()
		return nil, ErrUploadLocked
	}
	w := &localWaiter{ctx: ctx, granted: make(chan *localLease, 1)}
	held.add(w, mode)
	l.mu.Unlock()
	return l.wait(ctx, id, w)
}

// add queues w. A LockPreempt overtakes an earlier one and preempts the holder.
func (k *localLock) add(w *localWaiter, mode LockMode) {
	if mode == LockWait {
		k.queue = append(k.queue, w)
		return
	}
	if k.preempter != nil {
		k.preempter.granted <- nil
	}
	k.preempter = w
	k.holder.preempt()
}

// Preempt closes Preempted of the lease on id, as a newer LockPreempt would, without
// waiting for the lock. It does nothing if id is free. It is for lockers that put a
// LocalLocker in front of theirs and learn that another process needs the lock.
func (l *LocalLocker) Preempt(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if held := l.locks[id]; held != nil {
		held.holder.preempt()
	}
}

// wait blocks until w gets the lock, w is overtaken, or ctx ends.
func (l *LocalLocker) wait(ctx context.Context, id string, w *localWaiter) (Lease, error) {
	select {
	case lease := <-w.granted:
		if lease == nil {
			return nil, ErrUploadLocked
		}
		return lease, nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	held := l.locks[id]
	if held == nil || !held.remove(w) {
		l.mu.Unlock()
		if lease := <-w.granted; lease != nil { // the grant came together with the end of ctx
			return lease, nil
		}
		return nil, ErrUploadLocked
	}
	l.mu.Unlock()
	return nil, lockWaitError(ctx)
}

// remove removes w from the queues and reports whether it was in one.
func (k *localLock) remove(w *localWaiter) bool {
	if k.preempter == w {
		k.preempter = nil
		return true
	}
	for i, q := range k.queue {
		if q == w {
			k.queue = append(k.queue[:i], k.queue[i+1:]...)
			return true
		}
	}
	return false
}

// grant returns a new lease. The caller holds l.mu.
func (l *LocalLocker) grant(ctx context.Context, id string, before uint64) *localLease {
	lease := &localLease{locker: l, id: id}
	if !l.NoFences {
		l.grants++
		lease.n, lease.before = l.grants, before
	}
	lease.ctx.Parent = context.WithoutCancel(ctx)
	return lease
}

// release grants the lock to the next waiter, or frees it.
func (l *LocalLocker) release(lease *localLease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	held := l.locks[lease.id]
	next := held.preempter
	held.preempter = nil
	if next == nil && len(held.queue) > 0 {
		next = held.queue[0]
		held.queue = held.queue[1:]
	}
	if next == nil {
		delete(l.locks, lease.id)
		l.addRecent(lease.id, lease.n)
		return
	}
	held.holder = l.grant(next.ctx, lease.id, lease.n)
	next.granted <- held.holder
}

// takeRecent returns the number of the last grant of a free id, 0 if it is unknown, and
// deletes it: the next grant follows. The caller holds l.mu.
func (l *LocalLocker) takeRecent(id string) uint64 {
	if l.NoFences {
		return 0
	}
	hash := l.hashOf(id)
	n := l.recent[hash]
	delete(l.recent, hash)
	return n
}

// addRecent stores the number of the last grant of a free id. The caller holds l.mu.
func (l *LocalLocker) addRecent(id string, n uint64) {
	if l.NoFences {
		return
	}
	if len(l.recent) >= recentFences {
		for other := range l.recent { // any entry will do
			delete(l.recent, other)
			break
		}
	}
	l.recent[l.hashOf(id)] = n
}

func (l *LocalLocker) hashOf(id string) idHash {
	if l.hash != nil {
		return l.hash(id)
	}
	return hashID(id)
}

// localLease is a grant of a LocalLocker.
type localLease struct {
	locker      *LocalLocker
	id          string
	n, before   uint64
	ctx         contexts.Lazy
	preempted   chan struct{} // made when it is first needed; guarded by locker.mu
	isPreempted bool          // guarded by locker.mu
	notify      func()        // of AfterPreempt; guarded by locker.mu
	lock        localLock     // of the id, if it was free before this grant: saves an allocation
	released    atomic.Bool
}

// preempt closes preempted and notifies the holder, once. The caller holds locker.mu.
func (s *localLease) preempt() {
	if s.isPreempted {
		return
	}
	s.isPreempted = true
	close(s.preemptedChannel())
	if s.notify != nil {
		go s.notify()
	}
}

// AfterPreempt implements PreemptNotifier.
func (s *localLease) AfterPreempt(f func()) {
	s.locker.mu.Lock()
	defer s.locker.mu.Unlock()
	if s.isPreempted && f != nil {
		go f()
		return
	}
	s.notify = f
}

// preemptedChannel returns the channel behind Preempted. The caller holds locker.mu.
func (s *localLease) preemptedChannel() chan struct{} {
	if s.preempted == nil {
		s.preempted = make(chan struct{})
	}
	return s.preempted
}

// Preempted implements Lease.
func (s *localLease) Preempted() <-chan struct{} {
	s.locker.mu.Lock()
	defer s.locker.mu.Unlock()
	return s.preemptedChannel()
}

var _ PreemptNotifier = (*localLease)(nil)

func (s *localLease) Context() context.Context { return &s.ctx }

func (s *localLease) Fence() (n, before uint64) { return s.n, s.before }

// Unlock never fails and never waits.
func (s *localLease) Unlock(context.Context) error {
	if s.released.CompareAndSwap(false, true) {
		s.ctx.Cancel()
		s.locker.release(s)
	}
	return nil
}

// lockWaitError returns the error of a wait whose context has ended.
func lockWaitError(ctx context.Context) error {
	if ctx.Err() == context.DeadlineExceeded {
		return ErrLockTimeout.With(context.Cause(ctx))
	}
	return context.Cause(ctx)
}
