package lockertest

import (
	"context"
	"errors"
	"time"

	"github.com/tus/tusd"
)

// The cases of lockers that are cut off from their service. The first locker is cut off,
// the second one is not.
var partitionCases = []testCase{
	{"partition/holder-loses-first", lossRule, 2, partitionedHolder},
	{"partition/renewals-fail-for-a-while", contextRule, 2, shortPartition},
	{"partition/lock", "Locker.Lock: Nothing is locked", 2, lockInPartition},
	{"partition/unlock", "Lease.Unlock: wait for the lease's end", 2, unlockInPartition},
	{"partition/waiter", "Locker.Lock: Nothing is locked", 2, waiterInPartition},
}

func partitionedHolder(e *env) {
	lost := e.lock("a", tusd.LockPreempt)
	restore := e.harness.Partition(e.TB, e.lockers[0])
	waiter := e.request(e.ctx(), e.lockers[1], "a", tusd.LockWait)
	holder := e.granted("the waiter, after the holder was cut off", waiter)
	if lost.Context().Err() == nil {
		e.Error("a holder that is cut off is not lost, and another one has the lock")
	}
	e.wantError("the cause of a lost lease's end", context.Cause(lost.Context()), tusd.ErrLockLost)
	restore()
	if err := lost.Unlock(e.ctx()); err != nil { // must not unlock the lock of the next holder
		e.Errorf("unlock a lost lease: %v", err)
	}
	e.wantLockedSoon("a")
	e.unlock(holder)
	e.wantFree("a")
}

// wantLockedSoon checks that the first locker, which was cut off until now, learns that id
// has a holder, and does not get the lock.
func (e *env) wantLockedSoon(id string) {
	e.Helper()
	var err error
	e.eventually(func() bool {
		var lease tusd.Lease
		if lease, err = e.lockers[0].Lock(e.ctx(), id, tusd.LockTry); err == nil {
			e.unlock(lease)
			return true
		}
		return errors.Is(err, tusd.ErrUploadLocked)
	})
	e.wantError("the lock of another holder", err, tusd.ErrUploadLocked)
}

// shortPartition cuts the holder off for a part of the lease's time to live. Then the lease
// is renewed again.
func shortPartition(e *env) {
	lease := e.lock("a", tusd.LockPreempt)
	restore := e.harness.Partition(e.TB, e.lockers[0])
	<-time.After(e.harness.TTL / 4)
	restore()
	select {
	case <-lease.Context().Done():
		e.Errorf("the lease is lost: %v", context.Cause(lease.Context()))
	case <-time.After(3 * e.harness.TTL / 2):
	}
	_, err := e.lockers[1].Lock(e.ctx(), "a", tusd.LockTry)
	e.wantError("a held lock", err, tusd.ErrUploadLocked)
	e.unlock(lease)
	e.wantFree("a")
}

func lockInPartition(e *env) {
	restore := e.harness.Partition(e.TB, e.lockers[0])
	for _, mode := range []tusd.LockMode{tusd.LockTry, tusd.LockWait, tusd.LockPreempt} {
		e.refused("a request without a lock service", e.request(e.ctx(), e.lockers[0], "a", mode), tusd.ErrLockServiceUnavailable)
	}
	restore()
	e.unlock(e.lockWith(e.lockers[1], "a", tusd.LockPreempt))
	e.wantFree("a")
}

func unlockInPartition(e *env) {
	lease := e.lock("a", tusd.LockPreempt)
	restore := e.harness.Partition(e.TB, e.lockers[0])
	done := make(chan error, 1)
	go func() { done <- lease.Unlock(e.ctx()) }()
	if _, ok := wait(e, done); !ok { // with an error or without
		e.Fatal("Unlock hangs")
	}
	restore()
	e.unlock(e.lockWith(e.lockers[1], "a", tusd.LockPreempt))
	e.wantFree("a")
}

// waiterInPartition cuts off a LockPreempt that waits. It must not keep the lock from
// others for longer than a lease.
func waiterInPartition(e *env) {
	holder := e.lockWith(e.lockers[1], "a", tusd.LockPreempt)
	waiter := e.request(e.ctx(), e.lockers[0], "a", tusd.LockPreempt)
	e.wantPreempted(holder)
	restore := e.harness.Partition(e.TB, e.lockers[0])
	e.unlock(holder)
	e.refused("a waiter that is cut off", waiter, tusd.ErrLockServiceUnavailable)
	e.unlock(e.lockWith(e.lockers[1], "a", tusd.LockWait))
	restore()
	e.wantFree("a")
}
