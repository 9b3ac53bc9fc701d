// Package lockertest proves that a locker keeps the contract of package tusd: Run runs a
// small case for every sentence of tusd.Locker and tusd.Lease, with several goroutines,
// with several lockers that share one service, and with several processes.
package lockertest

import (
	"context"
	"errors"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tus/tusd"
)

// Harness makes lockers for the suite and describes their differences.
// New is required.
type Harness struct {
	// New makes n lockers that exclude each other, as n servers do: on one directory or
	// service that nothing else uses. For a locker of ScopeProcess it returns the same
	// one n times. It registers clean-up with tb.Cleanup.
	New func(tb testing.TB, n int) []tusd.Locker
	// Scope is the expected result of Locker.Scope.
	Scope tusd.Scope
	// Lose makes a lease lost, as a network partition or a paused process does. nil: the
	// leases of this locker cannot be lost.
	Lose func(tb testing.TB, lease tusd.Lease)
	// Partition cuts a locker that New returned off from the service, so that its calls get
	// no answer, until restore. nil: there is no service.
	Partition func(tb testing.TB, locker tusd.Locker) (restore func())
	// TTL is the time to live of a lease that is not renewed. Only with Partition.
	TTL time.Duration
	// Process returns a command whose process calls Serve with a locker that shares the
	// service with lockers. nil: the scope of the locker is one process.
	Process func(tb testing.TB, lockers []tusd.Locker) *exec.Cmd

	// Timeout bounds the wait for an expected event, like a hand-over or the end of a
	// killed holder's lock; 0: 10 s. For leases that expire it must be longer than their
	// time to live.
	Timeout time.Duration
	// SettleTime is the longest time until a request reaches the holder and the queue. The
	// suite waits as long to check that an event does not happen; 0: 30 ms.
	SettleTime time.Duration
	// Goroutines is the number of goroutines that the lockers may have while nothing is
	// locked, in addition to those right after New.
	Goroutines int
}

// Defaults of Harness.
const (
	defaultTimeout    = 10 * time.Second
	defaultSettleTime = 30 * time.Millisecond
)

func (h Harness) withDefaults() Harness {
	if h.Timeout == 0 {
		h.Timeout = defaultTimeout
	}
	if h.SettleTime == 0 {
		h.SettleTime = defaultSettleTime
	}
	return h
}

// testCase checks one rule of the contract.
type testCase struct {
	name    string // of the subtest
	rule    string // of the contract: a key of contract.Find; printed on failure
	lockers int    // number of lockers that share the service; 0: one
	run     func(e *env)
}

// runMutex is held by the Run that is running in this process.
var runMutex sync.Mutex

// Run tests a locker against the contract of package tusd, each case as a subtest on new
// lockers. It counts the goroutines of the whole process, so no other test should run at
// the same time; calls of Run in parallel tests wait for each other.
func Run(t *testing.T, h Harness) {
	runMutex.Lock()
	defer runMutex.Unlock()
	for _, c := range suite(h) {
		t.Run(c.name, func(t *testing.T) { runCase(t, h, c) })
	}
}

// suite returns the cases that a harness supports.
func suite(h Harness) []testCase {
	cases := slices.Concat(exclusionCases, orderCases, notifyCases, waitCases, leaseCases)
	if h.Lose != nil {
		cases = append(cases, lossCases...)
	}
	if h.Partition != nil {
		cases = append(cases, partitionCases...)
	}
	if h.Process != nil {
		cases = append(cases, processCases...)
	}
	if h.Process != nil && h.Scope == tusd.ScopeLease && canStop {
		cases = append(cases, leaseProcessCases...)
	}
	return cases
}

// runCase runs one case on new lockers and checks for leaked goroutines.
func runCase(tb testing.TB, h Harness, c testCase) {
	tb.Helper()
	defer func() {
		if tb.Failed() {
			tb.Logf("against the contract of package tusd: %s", c.rule)
		}
	}()
	h = h.withDefaults()
	e := &env{TB: tb, harness: h, lockers: h.New(tb, max(c.lockers, 1))}
	goroutines := runtime.NumGoroutine() + h.Goroutines
	c.run(e)
	if tb.Failed() {
		return // a failed case may leave locks
	}
	if !e.eventually(func() bool { return runtime.NumGoroutine() <= goroutines }) {
		stacks := make([]byte, 1<<20)
		tb.Errorf("goroutines are left:\n%s", stacks[:runtime.Stack(stacks, true)])
	}
}

// env has the lockers and helpers of a case.
type env struct {
	testing.TB
	harness Harness
	lockers []tusd.Locker
}

// eventually polls until condition is true, or the timeout ends.
func (e *env) eventually(condition func() bool) bool {
	deadline := time.After(e.harness.Timeout)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			return condition()
		}
	}
	return true
}

// waitSettleTime waits until a request has reached the holder and the queue.
func (e *env) waitSettleTime() { <-time.After(e.harness.SettleTime) }

func (e *env) wantError(what string, err, target error) {
	e.Helper()
	if !errors.Is(err, target) {
		e.Errorf("%s: error is %v, want %v", what, err, target)
	}
}

// wait reports whether c is closed or delivers before the timeout ends.
func wait[T any](e *env, c <-chan T) (value T, ok bool) {
	select {
	case value = <-c:
		return value, true
	case <-time.After(e.harness.Timeout):
		return value, false
	}
}

// ctx returns a context that ends with the timeout of the case.
func (e *env) ctx() context.Context {
	ctx, cancel := context.WithTimeout(e.Context(), e.harness.Timeout)
	e.Cleanup(cancel)
	return ctx
}

// lock locks id over the first locker, which must succeed.
func (e *env) lock(id string, mode tusd.LockMode) tusd.Lease {
	e.Helper()
	return e.lockWith(e.lockers[0], id, mode)
}

func (e *env) lockWith(locker tusd.Locker, id string, mode tusd.LockMode) tusd.Lease {
	e.Helper()
	lease, err := locker.Lock(e.ctx(), id, mode)
	if err != nil {
		e.Fatalf("lock %q: %v", id, err)
	}
	return lease
}

func (e *env) unlock(lease tusd.Lease) {
	e.Helper()
	if err := lease.Unlock(e.ctx()); err != nil {
		e.Fatalf("unlock: %v", err)
	}
}

// wantFree checks that id is free, now or soon.
func (e *env) wantFree(id string) {
	e.Helper()
	var lease tusd.Lease
	var err error
	if !e.eventually(func() bool {
		lease, err = e.lockers[0].Lock(e.ctx(), id, tusd.LockTry)
		return err == nil
	}) {
		e.Fatalf("the lock of %q is not free: %v", id, err)
	}
	e.unlock(lease)
}

// wantHeld checks that id cannot be locked.
func (e *env) wantHeld(id string) {
	e.Helper()
	for i, locker := range e.lockers {
		lease, err := locker.Lock(e.ctx(), id, tusd.LockTry)
		if err == nil {
			e.Fatalf("locker %d granted a second lease on %q", i, id)
			e.unlock(lease)
		}
		e.wantError("a held lock", err, tusd.ErrUploadLocked)
	}
}

// grant is the result of a call of Lock.
type grant struct {
	lease tusd.Lease
	err   error
}

// request calls Lock in the background.
func (e *env) request(ctx context.Context, locker tusd.Locker, id string, mode tusd.LockMode) <-chan grant {
	c := make(chan grant, 1)
	running := make(chan struct{})
	go func() {
		close(running)
		lease, err := locker.Lock(ctx, id, mode)
		c <- grant{lease, err}
	}()
	<-running
	return c
}

// granted waits for a request's lease.
func (e *env) granted(who string, c <-chan grant) tusd.Lease {
	e.Helper()
	g, ok := wait(e, c)
	if !ok || g.err != nil {
		e.Fatalf("%s did not get the lock: %v", who, g.err)
	}
	return g.lease
}

// refused waits for a request's error.
func (e *env) refused(who string, c <-chan grant, target error) {
	e.Helper()
	g, ok := wait(e, c)
	if !ok {
		e.Fatalf("%s still waits", who)
	}
	if g.err == nil {
		e.Fatalf("%s got the lock", who)
	}
	e.wantError(who, g.err, target)
}

// pending checks that a request has no answer.
func (e *env) pending(who string, c <-chan grant) {
	e.Helper()
	select {
	case g := <-c:
		e.Fatalf("%s has an answer already: %v", who, g.err)
	default:
	}
}

// wantPreempted waits until the holder is preempted.
func (e *env) wantPreempted(lease tusd.Lease) {
	e.Helper()
	if _, ok := wait(e, lease.Preempted()); !ok {
		e.Fatal("the holder was not preempted")
	}
}

// notPreempted checks that the holder is not preempted.
func (e *env) notPreempted(why string, lease tusd.Lease) {
	e.Helper()
	select {
	case <-lease.Preempted():
		e.Errorf("Preempted is closed %s", why)
	default:
	}
}
