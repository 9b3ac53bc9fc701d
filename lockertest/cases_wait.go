package lockertest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tus/tusd"
)

const noLockRule = "Locker.Lock: After an error"

var waitCases = []testCase{
	{"wait/deadline", "Locker.Lock: ErrLockTimeout", 1, deadlinePasses},
	{"wait/cancelled", "Locker.Lock: ctx's cause", 1, waitCancelled},
	{"wait/ended-before", "Locker.Lock: waits until ctx ends", 1, endedBefore},
	{"wait/leaves-queue", noLockRule, 1, leavesQueue},
	{"wait/cancelled-at-grant", noLockRule, 1, cancelledAtGrant},
}

var waitingModes = []tusd.LockMode{tusd.LockPreempt, tusd.LockWait}

func deadlinePasses(e *env) {
	holder := e.lock("a", tusd.LockTry)
	for _, mode := range waitingModes {
		ctx, cancel := context.WithTimeout(e.Context(), e.harness.SettleTime)
		e.refused("a waiter whose deadline passed", e.request(ctx, e.lockers[0], "a", mode), tusd.ErrLockTimeout)
		cancel()
	}
	e.unlock(holder)
	e.wantFree("a")
}

func waitCancelled(e *env) {
	why := errors.New("the client has gone")
	holder := e.lock("a", tusd.LockTry)
	for _, mode := range waitingModes {
		ctx, cancel := context.WithCancelCause(e.Context())
		waiter := e.request(ctx, e.lockers[0], "a", mode)
		e.waitSettleTime()
		e.pending("a waiter", waiter)
		cancel(why)
		e.refused("a cancelled waiter", waiter, why)
	}
	e.unlock(holder)
	e.wantFree("a")
}

// endedBefore locks under a context that has ended. A locker may still grant a free lock;
// it must not wait for a held one.
func endedBefore(e *env) {
	ctx, cancel := context.WithCancel(e.Context())
	cancel()
	for _, mode := range waitingModes {
		if lease, err := e.lockers[0].Lock(ctx, "a", mode); err == nil {
			e.unlock(lease)
		}
	}
	e.wantFree("a")
	holder := e.lock("a", tusd.LockTry)
	for _, mode := range waitingModes {
		e.refused("a waiter whose context has ended", e.request(ctx, e.lockers[0], "a", mode), context.Canceled)
	}
	e.unlock(holder)
	e.wantFree("a")
}

// leavesQueue cancels waiters before and behind one that stays in the queue.
func leavesQueue(e *env) {
	holder := e.lock("a", tusd.LockTry)
	leaving, leave := context.WithCancel(e.Context())
	defer leave()
	first := e.request(leaving, e.lockers[0], "a", tusd.LockWait)
	e.waitSettleTime()
	stays := e.request(e.ctx(), e.lockers[0], "a", tusd.LockWait)
	e.waitSettleTime()
	last := e.request(leaving, e.lockers[0], "a", tusd.LockWait)
	preempter := e.request(leaving, e.lockers[0], "a", tusd.LockPreempt)
	e.wantPreempted(holder)
	e.waitSettleTime()
	leave()
	for _, left := range []<-chan grant{first, last, preempter} {
		e.refused("a waiter that left", left, context.Canceled)
	}
	e.unlock(holder)
	e.unlock(e.granted("the waiter that stayed", stays))
	e.wantFree("a")
}

// cancelledAtGrant cancels waiters at the moment of the grant.
func cancelledAtGrant(e *env) {
	end := time.Now().Add(time.Second)
	for i := 0; i < 500 && time.Now().Before(end); i++ {
		holder := e.lock("a", tusd.LockWait)
		ctx, cancel := context.WithCancel(e.Context())
		waiter := e.request(ctx, e.lockers[0], "a", waitingModes[i%2])
		if waitingModes[i%2] == tusd.LockPreempt {
			e.wantPreempted(holder) // so it is in the queue
		}
		var wg sync.WaitGroup
		wg.Go(cancel)
		wg.Go(func() {
			if err := holder.Unlock(e.Context()); err != nil {
				e.Errorf("unlock: %v", err)
			}
		})
		wg.Wait()
		g, ok := wait(e, waiter)
		if !ok {
			e.Fatal("a cancelled waiter still waits")
		}
		if g.err == nil {
			e.unlock(g.lease)
		}
	}
	e.wantFree("a")
}
