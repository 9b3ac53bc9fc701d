//go:build unix

package lockertest

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/tus/tusd"
)

// flockPoll is the poll interval of waiters and holders.
const flockPoll = 2 * time.Millisecond

// flockLocker is a simple locker between processes that keeps the whole contract and so
// proves the suite. After a lock within the process it locks a file per id by flock.
// Preempters have a shared lock on a second file per id.
type flockLocker struct {
	dir   string
	local tusd.LocalLocker
}

func (l *flockLocker) Scope() tusd.Scope { return tusd.ScopeMachine }

func (l *flockLocker) Lock(ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
	for {
		local, err := l.local.Lock(ctx, id, mode)
		if err != nil {
			return nil, err
		}
		lease, err := l.lockFile(ctx, local, id, mode)
		if err == nil {
			return lease, nil
		}
		local.Unlock(ctx) // never fails
		if mode != tusd.LockWait || !errors.Is(err, tusd.ErrUploadLocked) {
			return nil, err
		}
	}
}

// lockFile waits for the file's lock. It returns ErrUploadLocked when a newer request of
// this process preempts it.
func (l *flockLocker) lockFile(ctx context.Context, local tusd.Lease, id string, mode tusd.LockMode) (tusd.Lease, error) {
	file, err := l.open(id, "lock")
	if err != nil {
		return nil, err
	}
	preemptFile, err := l.open(id, "preempt")
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if err := waitForFile(ctx, local, file, preemptFile, mode); err != nil {
		return nil, errors.Join(err, file.Close(), preemptFile.Close())
	}
	return newFlockLease(local, file, preemptFile), nil
}

func (l *flockLocker) open(id, kind string) (*os.File, error) {
	h := fnv.New128a()
	h.Write([]byte(id))
	name := fmt.Sprintf("%x.%s", h.Sum(nil), kind)
	return os.OpenFile(filepath.Join(l.dir, name), os.O_RDWR|os.O_CREATE, 0o600)
}

func waitForFile(ctx context.Context, local tusd.Lease, file, preemptFile *os.File, mode tusd.LockMode) error {
	tick := time.NewTicker(flockPoll)
	defer tick.Stop()
	defer flock(preemptFile, syscall.LOCK_UN)
	for !flock(file, syscall.LOCK_EX) {
		switch mode {
		case tusd.LockTry:
			return tusd.ErrUploadLocked
		case tusd.LockPreempt:
			flock(preemptFile, syscall.LOCK_SH)
		}
		select {
		case <-tick.C:
		case <-local.Preempted():
			return tusd.ErrUploadLocked
		case <-ctx.Done():
			return ended(ctx)
		}
	}
	return nil
}

func ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return tusd.ErrLockTimeout.With(ctx.Err())
	}
	return context.Cause(ctx)
}

// flock reports whether the lock was granted.
func flock(f *os.File, how int) bool { return syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB) == nil }

// flockLease is a local lease with the locked files.
type flockLease struct {
	tusd.Lease
	file, preemptFile *os.File
	preempted         chan struct{}
	released          func() error
	done              sync.WaitGroup
}

func newFlockLease(local tusd.Lease, file, preemptFile *os.File) *flockLease {
	s := &flockLease{Lease: local, file: file, preemptFile: preemptFile, preempted: make(chan struct{})}
	stop := make(chan struct{})
	s.done.Go(func() { s.watch(stop) })
	s.released = sync.OnceValue(func() error {
		close(stop)
		s.done.Wait()
		err := errors.Join(s.file.Close(), s.preemptFile.Close())
		return errors.Join(err, local.Unlock(context.Background()))
	})
	return s
}

// watch closes preempted when a request of any process preempts the lease.
func (s *flockLease) watch(stop <-chan struct{}) {
	tick := time.NewTicker(flockPoll)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-s.Lease.Preempted():
			close(s.preempted)
			return
		case <-tick.C:
		}
		if !flock(s.preemptFile, syscall.LOCK_EX) {
			close(s.preempted)
			return
		}
		flock(s.preemptFile, syscall.LOCK_UN)
	}
}

func (s *flockLease) Preempted() <-chan struct{}   { return s.preempted }
func (s *flockLease) Unlock(context.Context) error { return s.released() }

// Fence returns no numbers: the local lock does not know the grants of other processes.
func (s *flockLease) Fence() (n, before uint64) { return 0, 0 }
