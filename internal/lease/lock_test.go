package lease

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd"
)

// A grant counts from the time at which the service was called, however late its answer is.
func TestGrantCountsFromItsSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := connect(t, newServer(10*time.Second), Settings{RenewInterval: hour})
		p.setFault(func(string) (before, after error) {
			time.Sleep(time.Second)
			return nil, nil
		})
		s := lockIn(t, p.locker, "a", tusd.LockPreempt)
		if lost := wait(s); lost != 7*time.Second {
			t.Errorf("lost %v after the answer, want 8 s after the call", lost)
		}
		closeAll(t, p)
	})
}

// A request whose context ends while it waits removes its wish. Otherwise no other request would
// get the lock until the wish expires.
func TestEndedWaitRemovesItsWish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer(hour)
		a, b := connect(t, server, Settings{}), connect(t, server, Settings{})
		s := lockIn(t, a.locker, "a", tusd.LockPreempt)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.locker.Lock(ctx, "a", tusd.LockPreempt); !errors.Is(err, tusd.ErrLockTimeout) {
			t.Errorf("lock of a held upload: %v", err)
		}
		synctest.Wait()
		s.Unlock(t.Context())
		if left := server.left(); left != 0 {
			t.Errorf("%d wishes are left", left)
		}
		lockIn(t, a.locker, "a", tusd.LockTry)
		closeAll(t, a, b)
	})
}

// A request that was overtaken is released if one of its calls got no answer, now and after
// a time to live: the service may carry out that call later.
func TestOvertakenAfterALostAnswer(t *testing.T) {
	for _, unanswered := range []bool{false, true} {
		service := newStub()
		service.try = func(r *Request) (Grant, error) {
			if unanswered && r.Session == nil {
				r.Session = "called"
				return Grant{}, errCut
			}
			return Grant{}, ErrOvertaken
		}
		on(t, service, Settings{}, func(t *testing.T, l *Locker) {
			if _, err := l.Lock(t.Context(), "a", tusd.LockPreempt); !errors.Is(err, tusd.ErrUploadLocked) {
				t.Errorf("an overtaken request: %v", err)
			}
			synctest.Wait()
			now := len(service.released)
			time.Sleep(11 * time.Second)
			later := len(service.released) - now
			if want := map[bool]int{true: 1}[unanswered]; now != want || later != want {
				t.Errorf("unanswered %v: %d releases now, %d later, want %d each", unanswered, now, later, want)
			}
		})
	}
}

// A call that is answered after Close gives no lease: nothing would renew it. Its lock is
// released.
func TestGrantAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer(time.Hour)
		p := connect(t, server, Settings{})
		p.setFault(func(string) (before, after error) {
			time.Sleep(time.Second)
			return nil, nil
		})
		failed := make(chan error)
		go func() {
			_, err := p.locker.Lock(t.Context(), "a", tusd.LockPreempt)
			failed <- err
		}()
		synctest.Wait()
		closeAll(t, p)
		if err := <-failed; !errors.Is(err, tusd.ErrLockServiceUnavailable) || !errors.Is(err, errClosed) {
			t.Errorf("a grant after Close: %v", err)
		}
		if n := server.left(); n != 0 {
			t.Errorf("%d locks and wishes are left", n)
		}
	})
}
