package lockertest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tus/tusd"
)

const contextRule = "Lease.Context: has the values / ErrLockLost"
const unlockRule = "Lease.Unlock: Unlock / idempotent"
const fenceRule = "Lease.Fence: greater than / before == m / no fences"

var leaseCases = []testCase{
	{"context/outlives", contextRule, 1, contextOutlives},
	{"context/outlives-after-waiting", contextRule, 1, contextOutlivesWaiting},
	{"context/ends-with-unlock", contextRule, 1, contextEndsWithUnlock},
	{"unlock/idempotent", unlockRule, 1, unlockIdempotent},
	{"unlock/concurrent", "Lease: held until / concurrent use", 1, unlockConcurrent},
	{"unlock/of-another", unlockRule, 2, unlockOfAnother},
	{"unlock/ended-ctx", unlockRule, 1, unlockEndedCtx},
	{"fence/increases", fenceRule, 1, fenceIncreases},
	{"fence/handed-over", fenceRule, 1, fenceHandedOver},
	{"fence/lockers", fenceRule, 3, fenceAcrossLockers},
}

type contextKey struct{}

// checkContext checks a lease's context after the context of Lock has ended.
func checkContext(e *env, lease tusd.Lease) {
	e.Helper()
	e.waitSettleTime()
	if err := context.Cause(lease.Context()); err != nil {
		e.Errorf("the lease's context ended with that of Lock: %v", err)
	}
	if _, limited := lease.Context().Deadline(); limited {
		e.Error("the lease's context has the deadline of that of Lock")
	}
	if got := lease.Context().Value(contextKey{}); got != "value" {
		e.Errorf("the lease's context has the value %v", got)
	}
	e.unlock(lease)
}

func contextOutlives(e *env) {
	for _, mode := range []tusd.LockMode{tusd.LockTry, tusd.LockPreempt, tusd.LockWait} {
		ctx, cancel := context.WithTimeout(context.WithValue(e.Context(), contextKey{}, "value"), time.Hour)
		lease, err := e.lockers[0].Lock(ctx, "a", mode)
		cancel()
		if err != nil {
			e.Fatalf("lock: %v", err)
		}
		checkContext(e, lease)
	}
	e.wantFree("a")
}

func contextOutlivesWaiting(e *env) {
	for _, mode := range waitingModes {
		holder := e.lock("a", tusd.LockTry)
		ctx, cancel := context.WithTimeout(context.WithValue(e.Context(), contextKey{}, "value"), time.Hour)
		waiter := e.request(ctx, e.lockers[0], "a", mode)
		e.waitSettleTime()
		e.unlock(holder)
		lease := e.granted("the waiter", waiter)
		cancel()
		checkContext(e, lease)
	}
	e.wantFree("a")
}

func contextEndsWithUnlock(e *env) {
	lease := e.lock("a", tusd.LockPreempt)
	e.unlock(lease)
	if _, ok := wait(e, lease.Context().Done()); !ok {
		e.Fatal("the lease's context does not end with Unlock")
	}
	if errors.Is(context.Cause(lease.Context()), tusd.ErrLockLost) {
		e.Error("the cause of an unlocked lease's end is ErrLockLost")
	}
}

func unlockIdempotent(e *env) {
	lease := e.lock("a", tusd.LockPreempt)
	for range 3 {
		e.unlock(lease)
	}
	e.wantFree("a")
}

func unlockConcurrent(e *env) {
	for range 50 {
		lease := e.lock("a", tusd.LockWait)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if err := lease.Unlock(e.ctx()); err != nil {
					e.Errorf("unlock: %v", err)
				}
			})
		}
		wg.Wait()
	}
	e.wantFree("a")
}

// unlockOfAnother unlocks a lease again while another request holds the lock.
func unlockOfAnother(e *env) {
	old := e.lock("a", tusd.LockPreempt)
	e.unlock(old)
	for _, locker := range e.lockers {
		holder := e.lockWith(locker, "a", tusd.LockWait)
		e.unlock(old)
		e.wantHeld("a")
		if err := holder.Context().Err(); err != nil {
			e.Errorf("the holder's context has ended: %v", err)
		}
		e.unlock(holder)
	}
	e.wantFree("a")
}

// unlockEndedCtx unlocks under a context that has ended. Unlock may fail, but must not
// hang; a second call under another context unlocks.
func unlockEndedCtx(e *env) {
	ended, cancel := context.WithCancel(e.Context())
	cancel()
	lease := e.lock("a", tusd.LockPreempt)
	done := make(chan error, 1)
	go func() { done <- lease.Unlock(ended) }()
	if _, ok := wait(e, done); !ok {
		e.Fatal("Unlock hangs")
	}
	e.unlock(lease)
	e.wantFree("a")
}

// fenceCheck checks the numbers of the grants of one id, in their order.
type fenceCheck struct {
	last uint64
}

func (f *fenceCheck) next(e *env, lease tusd.Lease) {
	e.Helper()
	n, before := lease.Fence()
	again, beforeAgain := lease.Fence()
	if n != again || before != beforeAgain {
		e.Errorf("Fence answered %d, %d, then %d, %d", n, before, again, beforeAgain)
	}
	if n == 0 {
		if before != 0 || f.last != 0 {
			e.Errorf("a locker without fences has before = %d, an earlier grant had n = %d", before, f.last)
		}
		return
	}
	if n <= f.last {
		e.Errorf("grant %d follows grant %d", n, f.last)
	}
	if before != 0 && before != f.last {
		e.Errorf("before is %d, the previous grant was %d", before, f.last)
	}
	f.last = n
}

func fenceIncreases(e *env) {
	var a, b fenceCheck
	for range 20 {
		lease := e.lock("a", tusd.LockPreempt)
		a.next(e, lease)
		other := e.lock("b", tusd.LockTry)
		b.next(e, other)
		e.unlock(lease)
		e.unlock(other)
	}
}

func fenceHandedOver(e *env) {
	var f fenceCheck
	holder := e.lock("a", tusd.LockPreempt)
	f.next(e, holder)
	for i := range 6 {
		waiter := e.request(e.ctx(), e.lockers[0], "a", waitingModes[i%2])
		e.waitSettleTime()
		e.unlock(holder)
		holder = e.granted("the waiter", waiter)
		f.next(e, holder)
	}
	e.unlock(holder)
}

func fenceAcrossLockers(e *env) {
	var f fenceCheck
	for i := range 9 {
		lease := e.lockWith(e.lockers[i*i%3], "a", tusd.LockWait)
		f.next(e, lease)
		e.unlock(lease)
	}
}
