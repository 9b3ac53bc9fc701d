package lease

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd"
)

// A renewal extends the lease from the time at which it was sent, however late its answer is.
func TestRenewalCountsFromItsSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := connect(t, newServer(10*time.Second), Settings{})
		s := lockIn(t, p.locker, "a", tusd.LockPreempt)
		calls := 0
		p.setFault(func(string) (before, after error) {
			if calls++; calls > 1 {
				return errCut, nil
			}
			time.Sleep(time.Second)
			return nil, nil
		})
		if lost := wait(s); lost != 2500*time.Millisecond+8*time.Second {
			t.Errorf("lost after %v, want 8 s after the only renewal was sent", lost)
		}
		closeAll(t, p)
	})
}

// A lease whose lock the service has given up is lost at the next renewal, and no other one is.
func TestRenewalTellsOfTheLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer(10 * time.Second)
		p := connect(t, server, Settings{})
		s, other := lockIn(t, p.locker, "a", tusd.LockPreempt), lockIn(t, p.locker, "other", tusd.LockPreempt)
		server.take("a")
		lost := wait(s)
		cause := context.Cause(s.Context())
		if lost != 2500*time.Millisecond || !errors.Is(cause, tusd.ErrLockLost) || !errors.Is(cause, errTaken) {
			t.Errorf("lost after %v: %v; want at the renewal after 2.5 s", lost, cause)
		}
		time.Sleep(time.Minute)
		if err := other.Context().Err(); err != nil {
			t.Errorf("the other lease: %v", context.Cause(other.Context()))
		}
		closeAll(t, p)
	})
}
