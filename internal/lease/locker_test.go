package lease

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd"
)

// In these tests the time is that of a synctest bubble, so that they measure exactly.

const hour = time.Hour

func lockIn(t *testing.T, l *Locker, id string, mode tusd.LockMode) tusd.Lease {
	t.Helper()
	s, err := l.Lock(t.Context(), id, mode)
	if err != nil {
		t.Fatalf("lock %s: %v", id, err)
	}
	return s
}

// wait ends when a lease has ended, and returns how long that took.
func wait(s tusd.Lease) time.Duration {
	begun := time.Now()
	<-s.Context().Done()
	return time.Since(begun)
}

// closeAll closes lockers within the bubble: their goroutines must end with it.
func closeAll(t *testing.T, processes ...*process) {
	for _, p := range processes {
		p.setFault(nil)
		if err := p.locker.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// A lease is renewed as long as it is held.
func TestRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer(10 * time.Second)
		p := connect(t, server, Settings{})
		s := lockIn(t, p.locker, "a", tusd.LockPreempt)
		time.Sleep(hour)
		if err := s.Context().Err(); err != nil {
			t.Errorf("after an hour: %v", context.Cause(s.Context()))
		}
		server.mu.Lock()
		calls := server.calls["renew"]
		server.mu.Unlock()
		if calls < 1400 || calls > 1441 {
			t.Errorf("%d renewals in an hour, want one every 2.5 s", calls)
		}
		closeAll(t, p)
	})
}

// A holder that cannot renew loses its lease two seconds before another process gets it,
// and ten seconds after the last renewal the lock is free.
func TestLossComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer(10 * time.Second)
		a, b := connect(t, server, Settings{}), connect(t, server, Settings{PollInterval: time.Millisecond})
		s := lockIn(t, a.locker, "a", tusd.LockPreempt)
		a.cut()
		begun := time.Now()
		var lost time.Duration
		done := make(chan struct{})
		go func() { lost = wait(s); close(done) }()
		next := lockIn(t, b.locker, "a", tusd.LockWait)
		granted := time.Since(begun)
		<-done
		if lost != 8*time.Second || granted < 10*time.Second || granted > 10*time.Second+10*time.Millisecond {
			t.Errorf("lost after %v, granted after %v", lost, granted)
		}
		if cause := context.Cause(s.Context()); !errors.Is(cause, tusd.ErrLockLost) {
			t.Errorf("the cause is %v", cause)
		}
		s.Unlock(t.Context())
		if next.Context().Err() != nil {
			t.Error("the unlock of a lost lease ends the next one")
		}
		if stats := a.locker.Stats(); stats.Lost != 1 || !stats.Unreachable {
			t.Errorf("%+v", stats)
		}
		closeAll(t, a, b)
	})
}

// A lease survives three renewals that fail.
func TestRenewalsThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := connect(t, newServer(10*time.Second), Settings{})
		s := lockIn(t, p.locker, "a", tusd.LockPreempt)
		for range 100 {
			time.Sleep(3 * time.Second)
			p.cut()
			time.Sleep(5 * time.Second) // the last renewal was at most 2.5 s before
			p.setFault(nil)
			time.Sleep(time.Second)
			if s.Context().Err() != nil {
				t.Fatal(context.Cause(s.Context()))
			}
		}
		closeAll(t, p)
	})
}

// The context of a lease compares the time itself. A timer may be late, as in a process
// that was stopped.
func TestContextComparesTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := connect(t, newServer(10*time.Second), Settings{})
		s := lockIn(t, p.locker, "a", tusd.LockPreempt)
		s.(*lease).expiry.Stop()
		p.cut()
		time.Sleep(9 * time.Second)
		if err := tusd.CheckLease(t.Context(), s); !errors.Is(err, tusd.ErrLockLost) {
			t.Errorf("after nine seconds: %v", err)
		}
		closeAll(t, p)
	})
}

// A call whose answer is lost may have taken the lock. It is released later.
func TestLostAnswer(t *testing.T) {
	for _, mode := range []tusd.LockMode{tusd.LockPreempt, tusd.LockWait, tusd.LockTry} {
		synctest.Test(t, func(t *testing.T) {
			server := newServer(hour)
			a, b := connect(t, server, Settings{RenewInterval: time.Second}), connect(t, server, Settings{})
			a.setFault(func(method string) (before, after error) {
				if method == "try" {
					return nil, errCut
				}
				return nil, nil
			})
			if _, err := a.locker.Lock(t.Context(), "a", mode); !errors.Is(err, tusd.ErrLockServiceUnavailable) || !errors.Is(err, errCut) {
				t.Errorf("mode %d: %v", mode, err)
			}
			begun := time.Now()
			lockIn(t, b.locker, "a", tusd.LockWait)
			if waited := time.Since(begun); waited > 2*time.Second {
				t.Errorf("mode %d: the lock was free after %v", mode, waited)
			}
			closeAll(t, a, b)
		})
	}
}

// The answer to a later call tells the grant of an earlier one.
func TestLostAnswerIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := connect(t, newServer(10*time.Second), Settings{})
		calls := 0
		p.setFault(func(string) (before, after error) {
			if calls++; calls < 3 {
				return nil, errCut
			}
			return nil, nil
		})
		s := lockIn(t, p.locker, "a", tusd.LockPreempt)
		if n, _ := s.Fence(); n == 0 || calls != 3 {
			t.Errorf("grant %d after %d calls", n, calls)
		}
		closeAll(t, p)
	})
}

// A lock that no request knows is released when another process wants it.
func TestUnknownLockIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer(hour)
		a, b := connect(t, server, Settings{}), connect(t, server, Settings{})
		lockIn(t, a.locker, "other", tusd.LockTry) // its loops run
		if _, err := a.Try(t.Context(), &Request{ID: "a", Token: "late", Mode: tusd.LockTry}); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		lockIn(t, b.locker, "a", tusd.LockPreempt)
		if waited := time.Since(begun); waited > time.Second {
			t.Errorf("the lock was free after %v", waited)
		}
		closeAll(t, a, b)
	})
}

// An outage has one line when it begins and one when it ends, however many requests fail.
func TestOneLinePerOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		p := connect(t, newServer(10*time.Second), Settings{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		s := lockIn(t, p.locker, "held", tusd.LockPreempt)
		for outages := 1; outages <= 2; outages++ {
			p.cut()
			failed := make(chan error)
			for i := range 100 {
				go func() {
					_, err := p.locker.Lock(t.Context(), fmt.Sprint(i), tusd.LockPreempt)
					failed <- err
				}()
			}
			for range 100 {
				if err := <-failed; !errors.Is(err, tusd.ErrLockServiceUnavailable) {
					t.Errorf("a request in an outage: %v", err)
				}
			}
			s.Unlock(t.Context())
			time.Sleep(time.Minute)
			p.setFault(nil)
			time.Sleep(5 * time.Second) // an answer now and then is no end of the outage
			p.cut()
			time.Sleep(time.Minute)
			p.setFault(nil)
			time.Sleep(15 * time.Second)
			s = lockIn(t, p.locker, "held", tusd.LockPreempt)
			if lines := strings.Count(log.String(), "\n"); lines != 2*outages {
				t.Errorf("%d lines after %d outages:\n%s", lines, outages, &log)
			}
		}
		closeAll(t, p)
	})
}

// A single call that fails is no outage.
func TestOneFailureIsNotLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		p := connect(t, newServer(10*time.Second), Settings{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		failed := false
		p.setFault(func(string) (before, after error) {
			if failed {
				return nil, nil
			}
			failed = true
			return errCut, nil
		})
		lockIn(t, p.locker, "a", tusd.LockPreempt)
		if !failed || log.Len() > 0 {
			t.Errorf("logged: %s", &log)
		}
		closeAll(t, p)
	})
}

// A request fails soon when the service is unreachable, and when its context ends.
func TestBoundedWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := connect(t, newServer(10*time.Second), Settings{})
		p.cut()
		begun := time.Now()
		_, err := p.locker.Lock(t.Context(), "a", tusd.LockPreempt)
		if took := time.Since(begun); !errors.Is(err, tusd.ErrLockServiceUnavailable) || took > 4*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		begun = time.Now()
		_, err = p.locker.Lock(t.Context(), "a", tusd.LockPreempt)
		if took := time.Since(begun); !errors.Is(err, tusd.ErrLockServiceUnavailable) || took > 0 {
			t.Errorf("in an outage that lasts, after %v: %v", took, err)
		}
		p.setFault(nil)
		held := lockIn(t, p.locker, "a", tusd.LockPreempt)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun = time.Now()
		_, err = p.locker.Lock(ctx, "a", tusd.LockPreempt)
		if took := time.Since(begun); !errors.Is(err, tusd.ErrLockTimeout) || took != time.Second {
			t.Errorf("with a deadline, after %v: %v", took, err)
		}
		held.Unlock(t.Context())
		closeAll(t, p)
	})
}

// Close ends the leases that are still held, and releases their locks.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer(10 * time.Second)
		p := connect(t, server, Settings{})
		s := lockIn(t, p.locker, "a", tusd.LockPreempt)
		closeAll(t, p, p) // the second time it does nothing
		if !errors.Is(context.Cause(s.Context()), tusd.ErrLockLost) || len(server.locks) != 0 {
			t.Errorf("%v, %d locks are left", context.Cause(s.Context()), len(server.locks))
		}
		if err := s.Unlock(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := p.locker.Lock(t.Context(), "a", tusd.LockTry); !errors.Is(err, tusd.ErrLockServiceUnavailable) {
			t.Errorf("lock after Close: %v", err)
		}
	})
}

// An outage of hours does not fill the memory with releases.
func TestReleasesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := connect(t, newServer(10*time.Second), Settings{})
		p.cut()
		for i := range 2 * maxReleases {
			p.locker.Lock(t.Context(), fmt.Sprint(i), tusd.LockTry)
		}
		p.locker.mu.Lock()
		n := len(p.locker.releases)
		p.locker.mu.Unlock()
		if n > maxReleases+1 { // one of them is tried again
			t.Errorf("%d releases wait", n)
		}
		closeAll(t, p)
	})
}

// The handler unlocks with the context of the lease. The lock is free when Unlock returns.
func TestUnlockWithOwnContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer(10 * time.Second)
		p := connect(t, server, Settings{})
		s := lockIn(t, p.locker, "a", tusd.LockPreempt)
		if err := s.Unlock(s.Context()); err != nil {
			t.Error(err)
		}
		server.mu.Lock()
		left := len(server.locks)
		server.mu.Unlock()
		if left != 0 {
			t.Error("the lock is still held")
		}
		closeAll(t, p)
	})
}

// A holder is preempted although the wish came while the answer to its first call was lost.
func TestPreemptBeforeTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := connect(t, newServer(10*time.Second), Settings{})
		calls := 0
		p.setFault(func(method string) (before, after error) {
			if calls++; calls == 1 {
				return nil, errCut
			}
			if calls == 2 {
				p.mu.Lock()
				token := p.tried.Token
				p.mu.Unlock()
				p.locker.Preempt("a", "another")
				p.locker.Preempt("a", token)
			}
			return nil, nil
		})
		s := lockIn(t, p.locker, "a", tusd.LockPreempt)
		select {
		case <-s.Preempted():
		default:
			t.Error("the holder is not preempted")
		}
		closeAll(t, p)
	})
}

// A call that the service carries out after the request has given up, and after its release,
// does not keep the lock.
func TestLateTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer(10 * time.Second)
		p := connect(t, server, Settings{})
		p.cut()
		if _, err := p.locker.Lock(t.Context(), "a", tusd.LockTry); err == nil {
			t.Error("a lock without a service")
		}
		p.setFault(nil)
		time.Sleep(5 * time.Second) // it is released
		server.ttl = hour
		if _, err := p.Try(t.Context(), p.tried); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		server.mu.Lock()
		left := len(server.locks)
		server.mu.Unlock()
		if left != 0 {
			t.Error("the lock stays held")
		}
		closeAll(t, p)
	})
}

// A lease that is over is not renewed, even if its timer is late.
func TestNoRenewalAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := connect(t, newServer(hour), Settings{})
		s := lockIn(t, p.locker, "a", tusd.LockPreempt).(*lease)
		s.expiry.Stop()
		s.extend(time.Now().Add(-2 * hour))
		time.Sleep(2 * hour)
		if !s.lost.Load() {
			t.Error("the lease is renewed")
		}
		closeAll(t, p)
	})
}

// A service that settles gives no lock. A LockTry waits for it a little; the others wait as
// long as they may. No request is told that another one has the lock.
func TestSettling(t *testing.T) {
	service := newStub()
	settled := false
	service.try = func(*Request) (Grant, error) {
		if !settled {
			return Grant{}, ErrSettling
		}
		return Grant{N: 1}, nil
	}
	on(t, service, Settings{}, func(t *testing.T, l *Locker) {
		begun := time.Now()
		_, err := l.Lock(t.Context(), "a", tusd.LockTry)
		if took := time.Since(begun); !errors.Is(err, tusd.ErrLockServiceUnavailable) || took < 3*time.Second || took > 5*time.Second {
			t.Errorf("LockTry: %v after %v", err, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
		defer cancel()
		begun = time.Now()
		_, err = l.Lock(ctx, "a", tusd.LockPreempt)
		if took := time.Since(begun); !errors.Is(err, tusd.ErrLockServiceUnavailable) || took != 9*time.Second {
			t.Errorf("LockPreempt: %v after %v", err, took)
		}
		if l.Stats().Unreachable {
			t.Error("the service answers, and counts as unreachable")
		}
		settled = true
		lockIn(t, l, "a", tusd.LockTry).Unlock(t.Context())
	})
}

// A call that was none tells nothing of an outage.
func TestNotCalled(t *testing.T) {
	service := newStub()
	service.try = func(*Request) (Grant, error) { return Grant{}, errCut }
	on(t, notCalledStub{service}, Settings{}, func(t *testing.T, l *Locker) {
		l.Lock(t.Context(), "a", tusd.LockTry)
		time.Sleep(time.Minute) // renewals
		if !l.Stats().Unreachable {
			t.Error("a service that was never reached is not unreachable")
		}
		<-service.released
	})
}

type notCalledStub struct{ *stub }

func (s notCalledStub) Renew(context.Context, []*Request) ([]*Request, error) {
	return nil, ErrNotCalled
}

func (s notCalledStub) Release(ctx context.Context, r *Request) error {
	s.stub.Release(ctx, r)
	return ErrNotCalled
}

// While one goroutine is losing a lease, another one already sees that its context has ended.
func TestContextEndsForAll(t *testing.T) {
	p := connect(t, newServer(hour), Settings{})
	s := lockIn(t, p.locker, "a", tusd.LockPreempt).(*lease)
	s.extend(time.Now().Add(-2 * hour))
	s.lost.Store(true) // by the other goroutine, which has not gone on
	if err := tusd.CheckLease(t.Context(), s); !errors.Is(err, tusd.ErrLockLost) {
		t.Errorf("a lease that is over: %v", err)
	}
	s.Unlock(t.Context())
}
