package lockertest

import (
	"github.com/tus/tusd"
)

const takeRule = "LockPreempt: newest"
const waitRule = "LockWait: in order of arrival"

var orderCases = []testCase{
	{"try/never-waits", "LockTry: not wait", 1, tryNeverWaits},
	{"take/asks", "Lease.Preempted: is closed when", 1, takeAsks},
	{"take/asks-other-locker", "Lease.Preempted: is closed when", 2, takeAsksOtherLocker},
	{"take/overtakes", "Locker.Lock: ErrUploadLocked", 1, takeOvertakes},
	{"take/newest-first", takeRule, 1, newestTakeFirst},
	{"take/asks-each-holder", "Lease.Preempted: is closed when", 1, takeAsksEachHolder},
	{"take/holder-need-not", "Lease.Preempted: not forced", 1, holderNeedNot},
	{"wait/does-not-ask", waitRule, 1, waitDoesNotAsk},
	{"wait/in-order", waitRule, 1, waitInOrder},
	{"wait/behind-takers", waitRule, 1, waitBehindTakers},
	{"wait/other-locker", waitRule, 2, waitOnOtherLocker},
}

func tryNeverWaits(e *env) {
	lease := e.lock("a", tusd.LockTry)
	_, err := e.lockers[0].Lock(e.ctx(), "a", tusd.LockTry)
	e.wantError("LockTry of a held lock", err, tusd.ErrUploadLocked)
	e.settle()
	e.notPreempted("although LockTry asks nobody", lease)
	e.unlock(lease)
	e.wantFree("a")
}

func takeAsks(e *env) {
	holder := e.lock("a", tusd.LockPreempt)
	e.notPreempted("although nobody asked", holder)
	taker := e.request(e.ctx(), e.lockers[0], "a", tusd.LockPreempt)
	e.wanted(holder)
	e.pending("a taker of a held lock", taker)
	e.unlock(holder)
	second := e.granted("the taker", taker)
	e.notPreempted("on the new holder, whom nobody asked", second)
	e.unlock(second)
	e.wantFree("a")
}

func takeAsksOtherLocker(e *env) {
	holder := e.lock("a", tusd.LockPreempt)
	e.settle()
	e.notPreempted("although nobody asked", holder)
	taker := e.request(e.ctx(), e.lockers[1], "a", tusd.LockPreempt)
	e.wanted(holder)
	e.unlock(holder)
	e.unlock(e.granted("the taker over another locker", taker))
	e.wantFree("a")
}

func takeOvertakes(e *env) {
	holder := e.lock("a", tusd.LockPreempt)
	first := e.request(e.ctx(), e.lockers[0], "a", tusd.LockPreempt)
	e.wanted(holder)
	second := e.request(e.ctx(), e.lockers[0], "a", tusd.LockPreempt)
	e.refused("the overtaken taker, while the lock is held", first, tusd.ErrUploadLocked)
	e.wantHeld("a")
	e.unlock(holder)
	e.unlock(e.granted("the newest taker", second))
	e.wantFree("a")
}

func newestTakeFirst(e *env) {
	holder := e.lock("a", tusd.LockPreempt)
	last := e.request(e.ctx(), e.lockers[0], "a", tusd.LockPreempt)
	e.wanted(holder)
	for range 5 {
		newer := e.request(e.ctx(), e.lockers[0], "a", tusd.LockPreempt)
		e.refused("an overtaken taker", last, tusd.ErrUploadLocked)
		last = newer
	}
	e.unlock(holder)
	e.unlock(e.granted("the newest taker", last))
	e.wantFree("a")
}

func takeAsksEachHolder(e *env) {
	holder := e.lock("a", tusd.LockPreempt)
	for range 5 {
		next := e.request(e.ctx(), e.lockers[0], "a", tusd.LockPreempt)
		e.wanted(holder)
		e.unlock(holder)
		holder = e.granted("the next taker", next)
	}
	e.unlock(holder)
	e.wantFree("a")
}

func holderNeedNot(e *env) {
	holder := e.lock("a", tusd.LockPreempt)
	taker := e.request(e.ctx(), e.lockers[0], "a", tusd.LockPreempt)
	e.wanted(holder)
	e.settle()
	e.pending("a taker whom the holder lets wait", taker)
	if err := holder.Context().Err(); err != nil {
		e.Errorf("the holder's context has ended: %v", err)
	}
	e.unlock(holder)
	e.unlock(e.granted("the taker", taker))
}

func waitDoesNotAsk(e *env) {
	holder := e.lock("a", tusd.LockPreempt)
	waiter := e.request(e.ctx(), e.lockers[0], "a", tusd.LockWait)
	e.settle()
	e.notPreempted("although LockWait does not ask", holder)
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
		e.settle()
	}
	for i, waiter := range waiters {
		e.unlock(holder)
		holder = e.granted("the waiter whose turn it is", waiter)
		for _, later := range waiters[i+1:] {
			e.pending("a later waiter", later)
		}
	}
	e.unlock(holder)
	e.wantFree("a")
}

func waitBehindTakers(e *env) {
	holder := e.lock("a", tusd.LockPreempt)
	waiter := e.request(e.ctx(), e.lockers[0], "a", tusd.LockWait)
	e.settle()
	taker := e.request(e.ctx(), e.lockers[0], "a", tusd.LockPreempt)
	e.wanted(holder)
	e.unlock(holder)
	holder = e.granted("the taker, who came later", taker)
	e.pending("the waiter", waiter)
	e.unlock(holder)
	e.unlock(e.granted("the waiter", waiter))
	e.wantFree("a")
}

func waitOnOtherLocker(e *env) {
	holder := e.lock("a", tusd.LockWait)
	waiter := e.request(e.ctx(), e.lockers[1], "a", tusd.LockWait)
	e.settle()
	e.notPreempted("although LockWait does not ask", holder)
	e.pending("a waiter for a held lock", waiter)
	e.unlock(holder)
	e.unlock(e.granted("the waiter over another locker", waiter))
	e.wantFree("a")
}
