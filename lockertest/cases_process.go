package lockertest

import "github.com/tus/tusd"

const deadHolderRule = "Locker.Lock: holder that dies"

var processCases = []testCase{
	{"process/exclusion", exclusiveRule, 1, excludesProcesses},
	{"process/hand-over", "Lease.Preempted: is closed when", 1, handOverBetweenProcesses},
	{"process/wait", waitRule, 1, waitBetweenProcesses},
	{"process/holder-killed", deadHolderRule, 1, holderKilled},
	{"process/holder-killed-with-waiter", deadHolderRule, 1, holderKilledWithWaiter},
	{"process/waiter-killed", deadHolderRule, 1, waiterKilled},
	{"process/fence", fenceRule, 1, fenceAcrossProcesses},
}

// leaseProcessCases are for lockers whose leases end without their holders.
var leaseProcessCases = []testCase{
	{"process/holder-stopped", lossRule, 1, holderStopped},
}

func excludesProcesses(e *env) {
	a, b := e.start(), e.start()
	a.lock("a", tusd.LockTry)
	a.expect("granted")
	e.wantHeld("a")
	b.lock("a", tusd.LockTry)
	b.expect("error " + tusd.ErrUploadLocked.Error())
	b.lock("b", tusd.LockTry)
	b.expect("granted")
	a.send("unlock", "a")
	a.expect("unlocked")
	lease := e.lock("a", tusd.LockTry)
	b.lock("a", tusd.LockTry)
	b.expect("error " + tusd.ErrUploadLocked.Error())
	e.unlock(lease)
	b.lock("a", tusd.LockTry)
	b.expect("granted")
	a.kill()
	b.kill()
}

func handOverBetweenProcesses(e *env) {
	c := e.start()
	c.lock("a", tusd.LockPreempt)
	c.expect("granted")
	preempter := e.request(e.ctx(), e.lockers[0], "a", tusd.LockPreempt)
	c.expect("preempted")
	e.pending("a preempter of a held lock", preempter)
	c.send("unlock", "a")
	c.expect("unlocked")
	holder := e.granted("the preempter", preempter)
	c.lock("a", tusd.LockPreempt)
	e.wantPreempted(holder)
	e.unlock(holder)
	c.expect("granted")
	c.kill()
	e.wantFree("a")
}

func waitBetweenProcesses(e *env) {
	c := e.start()
	c.lock("b", tusd.LockTry)
	c.expect("granted") // the process is running
	holder := e.lock("a", tusd.LockPreempt)
	c.lock("a", tusd.LockWait)
	e.waitSettleTime()
	e.notPreempted("although LockWait does not preempt", holder)
	c.wantNoOutput()
	e.unlock(holder)
	c.expect("granted")
	c.kill()
	e.wantFree("a")
}

func holderKilled(e *env) {
	for range 3 {
		c := e.start()
		c.lock("a", tusd.LockPreempt)
		c.expect("granted")
		e.wantHeld("a")
		c.kill()
		e.wantFree("a")
	}
}

func holderKilledWithWaiter(e *env) {
	c := e.start()
	c.lock("a", tusd.LockPreempt)
	c.expect("granted")
	waiter := e.request(e.ctx(), e.lockers[0], "a", tusd.LockWait)
	e.waitSettleTime()
	e.pending("a waiter for a held lock", waiter)
	c.kill()
	e.unlock(e.granted("the waiter, after the holder was killed", waiter))
	e.wantFree("a")
}

func waiterKilled(e *env) {
	c := e.start()
	holder := e.lock("a", tusd.LockPreempt)
	c.lock("a", tusd.LockPreempt)
	e.wantPreempted(holder)
	c.kill()
	e.unlock(holder)
	e.wantFree("a")
}

// fenceAcrossProcesses checks two grants of this process with a grant of another process
// between them.
func fenceAcrossProcesses(e *env) {
	first := e.lock("a", tusd.LockPreempt)
	n, _ := first.Fence()
	e.unlock(first)
	c := e.start()
	c.lock("a", tusd.LockPreempt)
	c.expect("granted")
	c.kill()
	second := e.lock("a", tusd.LockWait)
	m, before := second.Fence()
	e.unlock(second)
	if n != 0 && (m <= n || before == n) {
		e.Errorf("grant %d (before: %d) follows grant %d and one in another process", m, before, n)
	}
}

// holderStopped stops a process for longer than its lease lives. The first thing that it
// does afterwards must find that the lease is lost.
func holderStopped(e *env) {
	c := e.start()
	c.lock("a", tusd.LockPreempt)
	c.expect("granted")
	c.send("check", "a")
	c.expect("valid")
	c.stop()
	holder := e.lock("a", tusd.LockWait)
	c.send("check", "a") // it reads this when it goes on
	c.resume()
	c.expect("lost")
	c.send("unlock", "a")
	c.expect("unlocked")
	e.wantHeld("a")
	c.lock("a", tusd.LockTry)
	c.expect("error " + tusd.ErrUploadLocked.Error())
	e.unlock(holder)
	e.wantFree("a")
	c.kill()
}
