package lockertest

import (
	"context"

	"github.com/tus/tusd"
)

const lossRule = "Lease.Context: nothing more may be written"

var lossCases = []testCase{
	{"loss/reported", contextRule, 1, lossReported},
	{"loss/next-holder", lossRule, 2, lossNextHolder},
	{"loss/fence", fenceRule, 2, lossFence},
}

// lose loses the lease by the harness, and waits for the end of its context.
func (e *env) lose(lease tusd.Lease) {
	e.Helper()
	e.harness.Lose(e.TB, lease)
	if _, ok := wait(e, lease.Context().Done()); !ok {
		e.Fatal("a lost lease's context does not end")
	}
	e.wantError("the cause of a lost lease's end", context.Cause(lease.Context()), tusd.ErrLockLost)
}

func lossReported(e *env) {
	lease := e.lock("a", tusd.LockPreempt)
	e.lose(lease)
	e.unlock(lease)
	e.unlock(lease)
	e.wantFree("a")
}

func lossNextHolder(e *env) {
	lost := e.lock("a", tusd.LockPreempt)
	waiter := e.request(e.ctx(), e.lockers[1], "a", tusd.LockWait)
	e.waitSettleTime()
	e.pending("a waiter for a held lock", waiter)
	e.lose(lost)
	holder := e.granted("the waiter, after the loss", waiter)
	e.unlock(lost) // must not unlock the lock of the next holder
	e.wantHeld("a")
	e.unlock(holder)
	e.wantFree("a")
}

func lossFence(e *env) {
	var f fenceCheck
	lost := e.lock("a", tusd.LockPreempt)
	f.next(e, lost)
	e.lose(lost)
	lease := e.lockWith(e.lockers[1], "a", tusd.LockWait)
	f.next(e, lease)
	e.unlock(lease)
}
