// Package locallock locks ids within one process. tusd.LocalLocker is one of its lockers,
// and lockers among processes have one in front of theirs, to order the requests of this
// process. It does not know package tusd: a Lease is a tusd.PreemptNotifier, and a Mode is
// a tusd.LockMode of the same number.
package locallock

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/tus/tusd/internal/contexts"
)

// Mode is what Lock does if the lock has a holder.
type Mode int

// The modes.
const (
	Preempt Mode = iota // preempt the holder, then wait; the newest Preempt goes first
	Wait                // wait without preempting, behind every Preempt, in order of arrival
	Try                 // do not wait
)

// ErrLocked means that Try met a lock that has a holder, or that a newer Preempt came while this one
// waited.
var ErrLocked = errors.New("the id is locked")

// Locker grants leases on ids. The zero value is ready to use. Safe for concurrent use.
type Locker struct {
	// NoFences is for lockers that have a Locker in front of theirs and number
	// grants themselves: the fences of its leases are 0 and cost no memory. Set before
	// first use.
	NoFences bool

	hash func(id string) idHash // nil: hashID; for tests

	mu    sync.Mutex
	locks map[string]*lock
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

// idHash represents an id within this process. The seed keeps clients from choosing ids
// with the same hash.
type idHash uint64

var idSeed = maphash.MakeSeed()

func hashID(id string) idHash { return idHash(maphash.String(idSeed, id)) }

// recentFences limits the memory for recent to 2.5 MiB. After an eviction before is 0,
// which is always safe.
const recentFences = 1 << 16

// lock is the lock of one id while it has a holder.
type lock struct {
	holder    *Lease
	preempter *waiter   // the newest waiting Preempt; it has overtaken all earlier ones
	queue     []*waiter // Wait, in order of arrival
}

type waiter struct {
	ctx     context.Context
	granted chan *Lease // capacity 1; nil: overtaken
}

// Lock waits until ctx ends at most. It returns ErrLocked, or, if ctx has ended, its cause.
// After an error the caller has no lock. Without contention it takes well below a
// microsecond.
func (l *Locker) Lock(ctx context.Context, id string, mode Mode) (*Lease, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	l.mu.Lock()
	held := l.locks[id]
	if held == nil {
		defer l.mu.Unlock()
		if l.locks == nil {
			l.locks = make(map[string]*lock)
			l.recent = make(map[idHash]uint64)
		}
		lease := l.grant(ctx, id, l.takeRecent(id))
		lease.lock.holder = lease
		l.locks[id] = &lease.lock
		return lease, nil
	}
	if mode == Try {
		l.mu.Unlock()
		return nil, ErrLocked
	}
	w := &waiter{ctx: ctx, granted: make(chan *Lease, 1)}
	held.add(w, mode)
	l.mu.Unlock()
	return l.wait(ctx, id, w)
}

// add queues w. A Preempt overtakes an earlier one and preempts the holder.
func (k *lock) add(w *waiter, mode Mode) {
	if mode == Wait {
		k.queue = append(k.queue, w)
		return
	}
	if k.preempter != nil {
		k.preempter.granted <- nil
	}
	k.preempter = w
	k.holder.preempt()
}

// Preempt closes Preempted of the lease on id, as a newer Preempt would, without
// waiting for the lock. It does nothing if id is free. It is for lockers that put a
// Locker in front of theirs and learn that another process needs the lock.
func (l *Locker) Preempt(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if held := l.locks[id]; held != nil {
		held.holder.preempt()
	}
}

// wait blocks until w gets the lock, w is overtaken, or ctx ends.
func (l *Locker) wait(ctx context.Context, id string, w *waiter) (*Lease, error) {
	select {
	case lease := <-w.granted:
		if lease == nil {
			return nil, ErrLocked
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
		return nil, ErrLocked
	}
	l.mu.Unlock()
	return nil, context.Cause(ctx)
}

// remove removes w from the queues and reports whether it was in one.
func (k *lock) remove(w *waiter) bool {
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
func (l *Locker) grant(ctx context.Context, id string, before uint64) *Lease {
	lease := &Lease{locker: l, id: id}
	if !l.NoFences {
		l.grants++
		lease.n, lease.before = l.grants, before
	}
	lease.ctx.Parent = context.WithoutCancel(ctx)
	return lease
}

// release grants the lock to the next waiter, or frees it.
func (l *Locker) release(lease *Lease) {
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
func (l *Locker) takeRecent(id string) uint64 {
	if l.NoFences {
		return 0
	}
	hash := l.hashOf(id)
	n := l.recent[hash]
	delete(l.recent, hash)
	return n
}

// addRecent stores the number of the last grant of a free id. The caller holds l.mu.
func (l *Locker) addRecent(id string, n uint64) {
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

func (l *Locker) hashOf(id string) idHash {
	if l.hash != nil {
		return l.hash(id)
	}
	return hashID(id)
}

// Lease is a lock that is held until Unlock. Safe for concurrent use.
type Lease struct {
	locker      *Locker
	id          string
	n, before   uint64
	ctx         contexts.Lazy
	preempted   chan struct{} // made when it is first needed; guarded by locker.mu
	isPreempted bool          // guarded by locker.mu
	notify      func()        // of AfterPreempt; guarded by locker.mu
	lock        lock          // of the id, if it was free before this grant: saves an allocation
	released    atomic.Bool
}

// preempt closes preempted and notifies the holder, once. The caller holds locker.mu.
func (s *Lease) preempt() {
	if s.isPreempted {
		return
	}
	s.isPreempted = true
	close(s.preemptedChannel())
	if s.notify != nil {
		go s.notify()
	}
}

// Preempt closes Preempted, as a newer Preempt would, without waiting for the lock.
func (s *Lease) Preempt() {
	s.locker.mu.Lock()
	defer s.locker.mu.Unlock()
	s.preempt()
}

// AfterPreempt sets the function that is called, once and in a goroutine of its own, when
// Preempted is closed. If it is closed already, f is called now. A later call replaces a
// function that was not called yet, and nil removes it.
func (s *Lease) AfterPreempt(f func()) {
	s.locker.mu.Lock()
	defer s.locker.mu.Unlock()
	if s.isPreempted && f != nil {
		go f()
		return
	}
	s.notify = f
}

// preemptedChannel returns the channel behind Preempted. The caller holds locker.mu.
func (s *Lease) preemptedChannel() chan struct{} {
	if s.preempted == nil {
		s.preempted = make(chan struct{})
	}
	return s.preempted
}

// Preempted is closed when a newer Preempt preempts the holder.
func (s *Lease) Preempted() <-chan struct{} {
	s.locker.mu.Lock()
	defer s.locker.mu.Unlock()
	return s.preemptedChannel()
}

// Context ends with Unlock. It has the values of the context that was passed to Lock.
func (s *Lease) Context() context.Context { return &s.ctx }

// Fence returns the number of this grant, and the number of the one just before it of the
// same id, 0 if that is not known. Both are 0 with NoFences.
func (s *Lease) Fence() (n, before uint64) { return s.n, s.before }

// Unlock releases the lock. It never fails and never waits. A second call does nothing.
func (s *Lease) Unlock(context.Context) error {
	if s.released.CompareAndSwap(false, true) {
		s.ctx.Cancel()
		s.locker.release(s)
	}
	return nil
}
