package lockertest

import (
	"github.com/tus/tusd"
)

// notifyCases do nothing if the leases are no tusd.PreemptNotifier.
var notifyCases = []testCase{
	{"notify/when-preempted", "PreemptNotifier.AfterPreempt: is called, once", 1, notifyWhenPreempted},
	{"notify/other-locker", "PreemptNotifier.AfterPreempt: is called, once", 2, notifyOtherLocker},
	{"notify/preempted-before", "PreemptNotifier.AfterPreempt: closed already", 1, notifyPreemptedBefore},
	{"notify/replaced", "PreemptNotifier.AfterPreempt: replaces / nil removes", 1, notifyReplaced},
	{"notify/blocks", "PreemptNotifier.AfterPreempt: goroutine of its own", 1, notifyBlocked(false)},
	{"notify/preempted-before-blocks", "PreemptNotifier.AfterPreempt: goroutine of its own", 1, notifyBlocked(true)},
}

// notifying locks "a" over the first locker. If the lease is a PreemptNotifier, each call of
// its function is sent to calls.
func (e *env) notifying() (holder tusd.PreemptNotifier, calls chan struct{}) {
	e.Helper()
	lease := e.lock("a", tusd.LockPreempt)
	holder, ok := lease.(tusd.PreemptNotifier)
	if !ok {
		e.unlock(lease)
		return nil, nil
	}
	calls = make(chan struct{}, 10)
	holder.AfterPreempt(func() { calls <- struct{}{} })
	return holder, calls
}

// notified checks that the function was called once.
func (e *env) notified(calls <-chan struct{}) {
	e.Helper()
	if _, ok := wait(e, calls); !ok {
		e.Fatal("the function of AfterPreempt was not called")
	}
	e.waitSettleTime()
	e.notCalled("a second time", calls)
}

func (e *env) notCalled(why string, calls <-chan struct{}) {
	e.Helper()
	select {
	case <-calls:
		e.Errorf("a function of AfterPreempt was called %s", why)
	default:
	}
}

func notifyWhenPreempted(e *env) { e.preemptNotified(e.lockers[0]) }

func notifyOtherLocker(e *env) { e.preemptNotified(e.lockers[1]) }

// preemptNotified preempts a holder twice over a locker.
func (e *env) preemptNotified(locker tusd.Locker) {
	holder, calls := e.notifying()
	if holder == nil {
		return
	}
	e.waitSettleTime()
	e.notCalled("although no request has come", calls)
	first := e.request(e.ctx(), locker, "a", tusd.LockPreempt)
	e.wantPreempted(holder)
	e.notified(calls)
	second := e.request(e.ctx(), locker, "a", tusd.LockPreempt)
	e.refused("the overtaken request", first, tusd.ErrUploadLocked)
	e.waitSettleTime()
	e.notCalled("a second time", calls)
	e.unlock(holder)
	e.unlock(e.granted("the preempter", second))
	e.wantFree("a")
}

func notifyPreemptedBefore(e *env) {
	holder, calls := e.notifying()
	if holder == nil {
		return
	}
	holder.AfterPreempt(nil)
	preempter := e.request(e.ctx(), e.lockers[0], "a", tusd.LockPreempt)
	e.wantPreempted(holder)
	e.waitSettleTime()
	e.notCalled("although it was removed", calls)
	holder.AfterPreempt(func() { calls <- struct{}{} })
	e.notified(calls)
	e.unlock(holder)
	e.unlock(e.granted("the preempter", preempter))
	e.wantFree("a")
}

func notifyReplaced(e *env) {
	holder, replaced := e.notifying()
	if holder == nil {
		return
	}
	calls := make(chan struct{}, 10)
	holder.AfterPreempt(func() { calls <- struct{}{} })
	preempter := e.request(e.ctx(), e.lockers[0], "a", tusd.LockPreempt)
	e.notified(calls)
	e.notCalled("although it was replaced", replaced)
	e.unlock(holder)
	e.unlock(e.granted("the preempter", preempter))
	e.wantFree("a")
}

// notifyBlocked preempts the holder while, or before, the function is set. The function waits
// for the end of the case, and uses the locker.
func notifyBlocked(preemptedBefore bool) func(*env) {
	return func(e *env) {
		holder, _ := e.notifying()
		if holder == nil {
			return
		}
		running, end, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
		defer func() { close(end); wait(e, ended) }()
		f := func() {
			defer close(ended)
			if lease, err := e.lockers[0].Lock(e.ctx(), "b", tusd.LockTry); err == nil {
				lease.Unlock(e.ctx())
			}
			close(running)
			wait(e, end)
		}
		var preempter <-chan grant
		preempt := func() {
			preempter = e.request(e.ctx(), e.lockers[0], "a", tusd.LockPreempt)
			e.wantPreempted(holder)
		}
		if preemptedBefore {
			preempt()
		}
		set := make(chan struct{})
		go func() { holder.AfterPreempt(f); close(set) }()
		if _, ok := wait(e, set); !ok {
			e.Error("AfterPreempt waits for its function")
			return
		}
		if !preemptedBefore {
			preempt()
		}
		if _, ok := wait(e, running); !ok {
			e.Fatal("the function of AfterPreempt was not called, or cannot use the locker")
		}
		e.unlock(holder)
		e.unlock(e.granted("the preempter", preempter))
		e.wantFree("a")
	}
}
