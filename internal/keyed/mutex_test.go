package keyed_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/tus/tusd/internal/keyed"
)

func TestLockExcludesOneKey(t *testing.T) {
	t.Parallel()
	const callers, rounds = 8, 200
	var m keyed.Mutex
	var inside atomic.Int64
	var work sync.WaitGroup
	for range callers {
		work.Go(func() {
			for range rounds {
				if _, err := m.Lock(t.Context(), "a"); err != nil {
					t.Error(err)
					return
				}
				if inside.Add(1) != 1 {
					t.Error("two callers have the lock of one key")
				}
				inside.Add(-1)
				m.Unlock("a")
			}
		})
	}
	work.Wait()
	if n := m.Len(); n != 0 {
		t.Errorf("%d keys are locked at the end", n)
	}
}

func TestLockReportsThatItWaited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m keyed.Mutex
		if waited, err := m.Lock(t.Context(), "a"); waited || err != nil {
			t.Fatalf("a free key: waited %t, %v", waited, err)
		}
		second := make(chan struct{})
		go func() {
			defer close(second)
			if waited, err := m.Lock(t.Context(), "a"); !waited || err != nil {
				t.Errorf("the second caller: waited %t, %v", waited, err)
			}
		}()
		synctest.Wait()
		select {
		case <-second:
			t.Fatal("two callers have the lock of one key")
		default:
		}
		if waited, err := m.Lock(t.Context(), "b"); waited || err != nil {
			t.Errorf("another key: waited %t, %v", waited, err)
		}
		m.Unlock("a")
		<-second
	})
}

func TestLockEndsWithItsContext(t *testing.T) {
	t.Parallel()
	var m keyed.Mutex
	if !m.TryLock("a") {
		t.Fatal("a free key cannot be locked")
	}
	reason := errors.New("the request has ended")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	if waited, err := m.Lock(ctx, "a"); !waited || !errors.Is(err, reason) {
		t.Errorf("waited %t, %v", waited, err)
	}
	m.Unlock("a")
	if m.Locked("a") {
		t.Error("the caller whose context ended has the lock")
	}
}

func TestUnlockedIsClosedByUnlock(t *testing.T) {
	t.Parallel()
	var m keyed.Mutex
	if m.Unlocked("a") != nil || m.Locked("a") {
		t.Error("a free key is locked")
	}
	if !m.TryLock("a") || m.TryLock("a") || !m.Locked("a") || m.Len() != 1 {
		t.Fatal("TryLock does not lock a key once")
	}
	unlocked := m.Unlocked("a")
	select {
	case <-unlocked:
		t.Fatal("the channel is closed while the key is locked")
	default:
	}
	m.Unlock("a")
	<-unlocked
	if !m.TryLock("a") {
		t.Error("an unlocked key cannot be locked")
	}
}
