package filelocker

import (
	"context"
	"errors"
	"time"

	"github.com/tus/tusd"
)

// Lock implements tusd.Locker. Without contention it takes a few microseconds.
func (l *FileLocker) Lock(ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
	l.once.Do(func() { l.local.NoFences, l.line.NoFences = true, true }) // the board numbers grants
	if mode == tusd.LockWait {
		return l.lockInLine(ctx, id)
	}
	return l.lock(ctx, id, mode)
}

// lockInLine is Lock for LockWait. While it waits for another process it makes
// room for every LockPreempt of this one and starts again. It keeps its place:
// those who came later are still in line.
func (l *FileLocker) lockInLine(ctx context.Context, id string) (tusd.Lease, error) {
	turn, err := l.line.Lock(ctx, id, tusd.LockWait)
	if err != nil {
		return nil, err
	}
	defer turn.Unlock(ctx) // never fails
	for {
		s, err := l.lock(ctx, id, tusd.LockWait)
		if !errors.Is(err, tusd.ErrUploadLocked) {
			return s, err
		}
	}
}

// lock takes the lock of this process, and then the one among processes.
func (l *FileLocker) lock(ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
	local, err := l.local.Lock(ctx, id, mode)
	if err != nil {
		return nil, err
	}
	s := &lease{Lease: local, locker: l, id: id, hash: l.hashOf(id)}
	if err := l.acquire(ctx, s, mode); err != nil {
		local.Unlock(ctx) // never fails
		return nil, err
	}
	return s, nil
}

// acquire waits until s holds its slot. It returns ErrUploadLocked if it must
// not wait, or not any longer.
func (l *FileLocker) acquire(ctx context.Context, s *lease, mode tusd.LockMode) error {
	entered, err := l.enter(s, mode)
	switch {
	case entered || err != nil:
		return err
	case mode == tusd.LockTry:
		return tusd.ErrUploadLocked
	case mode == tusd.LockWait:
		return l.await(ctx, s, mode, func() error { return nil })
	}
	defer l.withdraw(s)
	return l.await(ctx, s, mode, func() error { return l.ask(s) })
}

// await looks again and again whether s can enter, and calls ask before each
// pause.
func (l *FileLocker) await(ctx context.Context, s *lease, mode tusd.LockMode, ask func() error) error {
	tick := time.NewTicker(interval(l.AcquirerPollInterval))
	defer tick.Stop()
	for {
		if err := ask(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-s.Preempted():
			return tusd.ErrUploadLocked // a newer request of this process
		case <-ctx.Done():
			return waitError(ctx)
		}
		if entered, err := l.enter(s, mode); entered || err != nil {
			return err
		}
	}
}

// enter makes s a holder of its slot if no other process is. Ids with the same
// hash hold it together.
func (l *FileLocker) enter(s *lease, mode tusd.LockMode) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	entered, err := l.enterOnce(s, mode)
	if errors.Is(err, errHidden) && l.dir == nil { // the directory can be opened anew
		return l.enterOnce(s, mode)
	}
	return entered, err
}

// enterOnce is enter. The caller holds l.mu.
func (l *FileLocker) enterOnce(s *lease, mode tusd.LockMode) (bool, error) {
	dir, err := l.directory()
	if err != nil {
		return false, err
	}
	if err := dir.board.join(); err != nil {
		return false, err
	}
	beside := l.held[s.hash]
	if beside == nil {
		if ok, err := takeHold(dir.board, s.hash, mode); err != nil || !ok {
			return false, err
		}
	}
	s.n, s.before = dir.board.fence(s.id)
	if dir.board.hidden() {
		if beside == nil {
			err = dir.board.free(hold.slot(s.hash))
		}
		return false, errors.Join(errHidden, err, l.leaveHidden())
	}
	s.since, s.beside = time.Now(), beside
	l.held[s.hash] = s
	l.watch()
	return true, nil
}

// errHidden is trouble that passes: when nobody holds a lock any more, the lock
// file is made again.
var errHidden = errors.New("filelocker: the lock file was removed while uploads are being served")

// leaveHidden gives up a lock file that has been removed: a process that is
// started from now on makes another one, and would see none of the locks in
// this one. Those who hold locks are asked to let go, and with the last of them
// the directory is given back. The caller holds l.mu.
func (l *FileLocker) leaveHidden() error {
	for hash := range l.held {
		l.askHolder(hash, time.Now())
	}
	if len(l.held) > 0 {
		return nil
	}
	dir := l.dir
	l.dir, l.watching = nil, false
	return dir.close()
}

// takeHold takes the slot that holds hash. LockWait leaves it to those who ask.
func takeHold(b board, hash uint64, mode tusd.LockMode) (bool, error) {
	if mode == tusd.LockWait {
		asked, err := taken(b, ask.slot(hash))
		if err == nil && !asked {
			asked, err = taken(b, push.slot(hash))
		}
		if asked || err != nil {
			return false, err
		}
	}
	return b.take(hold.slot(hash))
}

// taken tells whether another process has a slot.
func taken(b board, slot int64) (yes bool, err error) {
	err = b.others(slot, slot, func(_, _ int64) { yes = true })
	return yes, err
}

// leave ends the hold of s. A second call does nothing.
func (l *FileLocker) leave(s *lease) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.left {
		return nil
	}
	s.left = true
	if rest := without(l.held[s.hash], s); rest != nil {
		l.held[s.hash] = rest
		return nil
	}
	delete(l.held, s.hash)
	return errors.Join(l.dir.board.free(hold.slot(s.hash)), l.closeUnused())
}

// waitError translates the end of a wait's context.
func waitError(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return tusd.ErrLockTimeout.With(context.Cause(ctx))
	}
	return context.Cause(ctx)
}
