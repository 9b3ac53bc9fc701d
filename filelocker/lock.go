package filelocker

import (
	"context"
	"errors"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/locallock"
)

// Lock implements tusd.Locker. Without contention it takes a few microseconds.
func (l *FileLocker) Lock(ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
	l.once.Do(func() { l.local.NoFences, l.waitQueue.NoFences = true, true }) // fences numbers the grants
	if mode == tusd.LockWait {
		return l.lockWaiting(ctx, id)
	}
	return l.lock(ctx, id, mode)
}

// lockWaiting is Lock for LockWait. While it waits for another process, it lets every
// LockPreempt of this process go first, and starts again. It is still before later
// waiters: they are in waitQueue.
func (l *FileLocker) lockWaiting(ctx context.Context, id string) (tusd.Lease, error) {
	first, err := l.waitQueue.Lock(ctx, id, locallock.Wait)
	if err != nil {
		return nil, localError(ctx, err)
	}
	defer first.Unlock(ctx) // never fails
	for {
		s, err := l.lock(ctx, id, tusd.LockWait)
		if !errors.Is(err, tusd.ErrUploadLocked) {
			return s, err
		}
	}
}

// lock takes the lock within this process, and then the one among processes.
func (l *FileLocker) lock(ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
	local, err := l.local.Lock(ctx, id, locallock.Mode(mode))
	if err != nil {
		return nil, localError(ctx, err)
	}
	s := &lease{Lease: local, locker: l, id: id, hash: l.hashOf(id)}
	if err := l.acquire(ctx, s, mode); err != nil {
		local.Unlock(ctx) // never fails
		return nil, err
	}
	return s, nil
}

// acquire waits until s has its slot. It returns ErrUploadLocked if the mode does not
// allow waiting, or a newer request preempts s.
func (l *FileLocker) acquire(ctx context.Context, s *lease, mode tusd.LockMode) error {
	entered, err := l.tryAcquire(s, mode)
	switch {
	case entered || err != nil:
		return err
	case mode == tusd.LockTry:
		return tusd.ErrUploadLocked
	case mode == tusd.LockWait:
		return l.poll(ctx, s, mode, func() error { return nil })
	}
	defer l.withdrawRequest(s)
	return l.poll(ctx, s, mode, func() error { return l.requestPreemption(s) })
}

// poll tries at intervals to acquire the slot, and calls request before each wait.
func (l *FileLocker) poll(ctx context.Context, s *lease, mode tusd.LockMode, request func() error) error {
	tick := time.NewTicker(interval(l.AcquirerPollInterval))
	defer tick.Stop()
	for {
		if err := request(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-s.Preempted():
			return tusd.ErrUploadLocked // a newer request of this process
		case <-ctx.Done():
			return waitError(ctx)
		}
		if entered, err := l.tryAcquire(s, mode); entered || err != nil {
			return err
		}
	}
}

// tryAcquire makes s a holder of its slot if no other process holds it. Ids with the
// same hash share a slot, so several leases of this process can hold it.
func (l *FileLocker) tryAcquire(s *lease, mode tusd.LockMode) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	entered, err := l.tryAcquireOnce(s, mode)
	if errors.Is(err, errLockFileRemoved) && l.dir == nil { // closed by abandonDirectory: it can be opened again
		return l.tryAcquireOnce(s, mode)
	}
	return entered, err
}

// tryAcquireOnce is tryAcquire without a second try. The caller holds l.mu.
func (l *FileLocker) tryAcquireOnce(s *lease, mode tusd.LockMode) (bool, error) {
	dir, err := l.directory()
	if err != nil {
		return false, err
	}
	if err := dir.slots.join(); err != nil {
		return false, err
	}
	beside := l.held[s.hash]
	if beside == nil {
		if ok, err := takeHeldSlot(dir.slots, s.hash, mode); err != nil || !ok {
			return false, err
		}
	}
	s.n, s.before = dir.slots.fence(s.id)
	if dir.slots.removed() {
		if beside == nil {
			err = dir.slots.free(heldSlot.slot(s.hash))
		}
		return false, errors.Join(errLockFileRemoved, err, l.abandonDirectory())
	}
	s.since, s.next = time.Now(), beside
	l.held[s.hash] = s
	l.watch()
	return true, nil
}

// errLockFileRemoved is transient: the lock file is created again when no lock is held.
var errLockFileRemoved = errors.New("filelocker: .tusd.locks was removed while uploads are served: exclude it from jobs that remove files; it is made again when no upload is locked")

// abandonDirectory stops using a lock file that was removed: processes that start later
// create another file, and do not see the locks in this one. It preempts all holders;
// when none is left, it closes the directory. The caller holds l.mu.
func (l *FileLocker) abandonDirectory() error {
	for hash := range l.held {
		l.preemptHash(hash, time.Now())
	}
	if len(l.held) > 0 {
		return nil
	}
	dir := l.dir
	l.dir, l.watching = nil, false
	return dir.close()
}

// takeHeldSlot takes the slot for holding hash. LockWait does not take it while
// another process requests preemption.
func takeHeldSlot(b slotTable, hash uint64, mode tusd.LockMode) (bool, error) {
	if mode == tusd.LockWait {
		requested, err := isTakenByOther(b, requestSlot.slot(hash))
		if err == nil && !requested {
			requested, err = isTakenByOther(b, newerRequestSlot.slot(hash))
		}
		if requested || err != nil {
			return false, err
		}
	}
	return b.take(heldSlot.slot(hash))
}

// isTakenByOther reports whether another locker has taken a slot.
func isTakenByOther(b slotTable, slot int64) (yes bool, err error) {
	err = b.takenByOthers(slot, slot, func(_, _ int64) { yes = true })
	return yes, err
}

// release ends the lease s among processes. A second call does nothing.
func (l *FileLocker) release(s *lease) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.released {
		return nil
	}
	s.released = true
	if rest := unlink(l.held[s.hash], s); rest != nil {
		l.held[s.hash] = rest
		return nil
	}
	delete(l.held, s.hash)
	return errors.Join(l.dir.slots.free(heldSlot.slot(s.hash)), l.closeUnused())
}

// localError translates an error of a lock within this process.
func localError(ctx context.Context, err error) error {
	if err == locallock.ErrLocked {
		return tusd.ErrUploadLocked
	}
	return waitError(ctx)
}

// waitError translates the end of the context of a wait.
func waitError(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return tusd.ErrLockTimeout.With(context.Cause(ctx))
	}
	return context.Cause(ctx)
}
