package lease

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd"
)

// The locks of these tests do not expire, so that only a release removes them.

// Unlock with a context that has ended releases the lock in the background.
func TestUnlockAfterTheEndOfTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer(hour)
		p := connect(t, server, Settings{})
		s := lockIn(t, p.locker, "a", tusd.LockPreempt)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Unlock(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Unlock: %v", err)
		}
		synctest.Wait()
		if server.left() != 0 {
			t.Error("the lock stays held")
		}
		closeAll(t, p)
	})
}

// A release that fails is tried again.
func TestFailedReleaseIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer(hour)
		p := connect(t, server, Settings{})
		s := lockIn(t, p.locker, "a", tusd.LockPreempt)
		p.cut()
		if err := s.Unlock(t.Context()); !errors.Is(err, errCut) {
			t.Errorf("Unlock while the service is unreachable: %v", err)
		}
		time.Sleep(time.Minute)
		p.setFault(nil)
		time.Sleep(2 * time.Second)
		if server.left() != 0 {
			t.Error("the lock stays held")
		}
		closeAll(t, p)
	})
}

// In an outage that lasts, Unlock does not call the service. The lock is released afterwards.
func TestReleaseAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer(hour)
		p := connect(t, server, Settings{RenewInterval: time.Second})
		s := lockIn(t, p.locker, "a", tusd.LockPreempt)
		p.cut()
		time.Sleep(5 * time.Second)
		if err := s.Unlock(t.Context()); !errors.Is(err, tusd.ErrLockServiceUnavailable) || !errors.Is(err, errOutage) {
			t.Errorf("Unlock in an outage: %v", err)
		}
		p.setFault(nil)
		time.Sleep(2 * time.Second)
		if server.left() != 0 {
			t.Error("the lock stays held")
		}
		closeAll(t, p)
	})
}

// The lock of a lost lease may still be at the service. Unlock releases it, also with a
// context that has ended, and returns no error.
func TestReleaseOfALostLease(t *testing.T) {
	for _, ended := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			server := newServer(10 * time.Second)
			p := connect(t, server, Settings{})
			server.ttl = hour
			s := lockIn(t, p.locker, "a", tusd.LockPreempt)
			p.cut()
			wait(s)
			p.setFault(nil)
			ctx := t.Context()
			if ended {
				ctx = s.Context()
			}
			if err := s.Unlock(ctx); err != nil {
				t.Errorf("Unlock of a lost lease, its context ended %v: %v", ended, err)
			}
			synctest.Wait()
			if server.left() != 0 {
				t.Errorf("the lock stays held, context ended %v", ended)
			}
			closeAll(t, p)
		})
	}
}

// A leftover that keeps another process waiting is released before what no process waits for.
func TestLeftoverIsReleasedFirst(t *testing.T) {
	service := newStub()
	on(t, service, Settings{}, func(t *testing.T, l *Locker) {
		service.released = make(chan *Request) // Release waits for this test
		if err := l.use(); err != nil {
			t.Fatal(err)
		}
		l.releaseLater(&Request{ID: "under way"})
		synctest.Wait()
		l.releaseLater(&Request{ID: "later"})
		l.ReleaseLeftover("first", "unknown")
		for _, want := range []string{"under way", "first", "later"} {
			if r := <-service.released; r.ID != want {
				t.Errorf("released %q, want %q", r.ID, want)
			}
		}
	})
}

// Close waits for a release that is under way, and repeats it if it fails.
func TestCloseDuringARelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer(hour)
		p := connect(t, server, Settings{})
		s := lockIn(t, p.locker, "a", tusd.LockPreempt)
		failed := false
		p.setFault(func(string) (before, after error) {
			if failed {
				return nil, nil
			}
			failed = true
			time.Sleep(time.Second)
			return errCut, nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s.Unlock(ctx)
		synctest.Wait()
		if err := p.locker.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if server.left() != 0 {
			t.Error("the lock stays held")
		}
	})
}
