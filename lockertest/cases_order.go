package lockertest

import (
	"github.com/tus/tusd"
)

const preemptRule = "LockPreempt: newest"
const waitRule = "LockWait: in order of arrival"

var orderCases = []testCase{
	{"try/never-waits", "LockTry: not wait", 1, tryNeverWaits},
	{"preempt/signals", "Lease.Preempted: is closed when", 1, preemptSignals},
	{"preempt/other-locker", "Lease.Preempted: is closed when", 2, preemptOtherLocker},
	{"preempt/overtakes", "Locker.Lock: ErrUploadLocked", 1, preemptOvertakes},
	{"preempt/newest-first", preemptRule, 1, newestPreemptFirst},
	{"preempt/each-holder", "Lease.Preempted: is closed when", 1, preemptEachHolder},
	{"preempt/not-forced", "Lease.Preempted: not forced", 1, holderMayContinue},
	{"wait/no-preempt", waitRule, 1, waitWithoutPreempt},
	{"wait/in-order", waitRule, 1, waitInOrder},
	{"wait/behind-preempt", waitRule, 1, waitBehindPreempters},
	{"wait/other-locker", waitRule, 2, waitOnOtherLocker},
}

func tryNeverWaits(e *env) {
	lease := e.lock("a", tusd.LockTry)
	_, err := e.lockers[0].Lock(e.ctx(), "a", tusd.LockTry)
	e.wantError("LockTry of a held lock", err, tusd.ErrUploadLocked)
	e.waitSettleTime()
	e.notPreempted("although LockTry preempts no holder", lease)
	e.unlock(lease)
	e.wantFree("a")
}

func preemptSignals(e *env) {
	holder := e.lock("a", tusd.LockPreempt)
	e.notPreempted("although no request has come", holder)
	preempter := e.request(e.ctx(), e.lockers[0], "a", tusd.LockPreempt)
	e.wantPreempted(holder)
	e.pending("a preempter of a held lock", preempter)
	e.unlock(holder)
	second := e.granted("the preempter", preempter)
	e.notPreempted("of the new holder, although no further request has come", second)
	e.unlock(second)
	e.wantFree("a")
}

func preemptOtherLocker(e *env) {
	holder := e.lock("a", tusd.LockPreempt)
	e.waitSettleTime()
	e.notPreempted("although no request has come", holder)
	preempter := e.request(e.ctx(), e.lockers[1], "a", tusd.LockPreempt)
	e.wantPreempted(holder)
	e.unlock(holder)
	e.unlock(e.granted("the preempter over another locker", preempter))
	e.wantFree("a")
}

func preemptOvertakes(e *env) {
	holder := e.lock("a", tusd.LockPreempt)
	first := e.request(e.ctx(), e.lockers[0], "a", tusd.LockPreempt)
	e.wantPreempted(holder)
	second := e.request(e.ctx(), e.lockers[0], "a", tusd.LockPreempt)
	e.refused("the overtaken preempter, while the lock is held", first, tusd.ErrUploadLocked)
	e.wantHeld("a")
	e.unlock(holder)
	e.unlock(e.granted("the newest preempter", second))
	e.wantFree("a")
}

func newestPreemptFirst(e *env) {
	holder := e.lock("a", tusd.LockPreempt)
	last := e.request(e.ctx(), e.lockers[0], "a", tusd.LockPreempt)
	e.wantPreempted(holder)
	for range 5 {
		newer := e.request(e.ctx(), e.lockers[0], "a", tusd.LockPreempt)
		e.refused("an overtaken preempter", last, tusd.ErrUploadLocked)
		last = newer
	}
	e.unlock(holder)
	e.unlock(e.granted("the newest preempter", last))
	e.wantFree("a")
}

func preemptEachHolder(e *env) {
	holder := e.lock("a", tusd.LockPreempt)
	for range 5 {
		next := e.request(e.ctx(), e.lockers[0], "a", tusd.LockPreempt)
		e.wantPreempted(holder)
		e.unlock(holder)
		holder = e.granted("the next preempter", next)
	}
	e.unlock(holder)
	e.wantFree("a")
}

func holderMayContinue(e *env) {
	holder := e.lock("a", tusd.LockPreempt)
	preempter := e.request(e.ctx(), e.lockers[0], "a", tusd.LockPreempt)
	e.wantPreempted(holder)
	e.waitSettleTime()
	e.pending("a preempter, while the holder continues", preempter)
	if err := holder.Context().Err(); err != nil {
		e.Errorf("the holder's context has ended: %v", err)
	}
	e.unlock(holder)
	e.unlock(e.granted("the preempter", preempter))
}

func waitWithoutPreempt(e *env) {
	holder := e.lock("a", tusd.LockPreempt)
	waiter := e.request(e.ctx(), e.lockers[0], "a", tusd.LockWait)
	e.waitSettleTime()
	e.notPreempted("although LockWait does not preempt", holder)
	e.pending("a waiter for a held lock", waiter)
	e.unlock(holder)
	e.unlock(e.granted("the waiter", waiter))
	e.wantFree("a")
}

func waitInOrder(e *env) {
	holder := e.lock("a", tusd.LockPreempt)
	var waiters []<-chan grant
	for range 4 {
		waiters = append(waiters, e.request(e.ctx(), e.lockers[0], "a", tusd.LockWait))
		e.waitSettleTime()
	}
	for i, waiter := range waiters {
		e.unlock(holder)
		holder = e.granted("the first waiter", waiter)
		for _, later := range waiters[i+1:] {
			e.pending("a later waiter", later)
		}
	}
	e.unlock(holder)
	e.wantFree("a")
}

func waitBehindPreempters(e *env) {
	holder := e.lock("a", tusd.LockPreempt)
	waiter := e.request(e.ctx(), e.lockers[0], "a", tusd.LockWait)
	e.waitSettleTime()
	preempter := e.request(e.ctx(), e.lockers[0], "a", tusd.LockPreempt)
	e.wantPreempted(holder)
	e.unlock(holder)
	holder = e.granted("the preempter, which came later", preempter)
	e.pending("the waiter", waiter)
	e.unlock(holder)
	e.unlock(e.granted("the waiter", waiter))
	e.wantFree("a")
}

func waitOnOtherLocker(e *env) {
	holder := e.lock("a", tusd.LockWait)
	waiter := e.request(e.ctx(), e.lockers[1], "a", tusd.LockWait)
	e.waitSettleTime()
	e.notPreempted("although LockWait does not preempt", holder)
	e.pending("a waiter for a held lock", waiter)
	e.unlock(holder)
	e.unlock(e.granted("the waiter over another locker", waiter))
	e.wantFree("a")
}
