package storetest

import (
	"maps"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/tus/tusd"
)

// usage is the number of goroutines and descriptors of a process, compared before
// and after a case.
type usage struct {
	goroutines  int
	descriptors int // 0: unknown
}

func currentUsage() usage {
	open, err := os.ReadDir("/dev/fd")
	if err != nil {
		open = nil
	}
	return usage{runtime.NumGoroutine(), len(open)}
}

// steadyUsage waits until ending goroutines have ended. Otherwise a case could leak as
// many as were ending at its begin.
func steadyUsage() usage {
	const steady = 50 // yields without a change
	least := runtime.NumGoroutine()
	for i := 0; i < steady; i++ {
		runtime.Gosched()
		if n := runtime.NumGoroutine(); n < least {
			least, i = n, 0
		}
	}
	return currentUsage()
}

// openFiles returns the targets of open descriptors, if the system shows them.
func openFiles() []string {
	var files []string
	open, _ := os.ReadDir("/dev/fd") // after an error the list is incomplete
	for _, fd := range open {
		if target, err := os.Readlink("/dev/fd/" + fd.Name()); err == nil {
			files = append(files, target)
		}
	}
	return files
}

// checkLeftovers checks at the end of a case that locks are free, goroutines have
// ended, descriptors are closed, and the backend has no leftovers.
func (e *env) checkLeftovers() {
	e.Helper()
	e.release()
	for id := range e.locked {
		lease, err := e.locker.Lock(e.Context(), id, tusd.LockTry)
		if err != nil {
			e.Errorf("the lock of %s is not free after the case: %v", id, err)
			continue
		}
		e.must(lease.Unlock(e.Context()))
	}
	e.checkUsage()
	if e.harness.Leftovers == nil {
		return
	}
	for _, left := range e.harness.Leftovers(e.TB, e.composer, slices.Sorted(maps.Keys(e.exist))) {
		e.Errorf("left behind: %s", left)
	}
}

func (e *env) checkUsage() {
	e.Helper()
	goroutines := e.before.goroutines + e.harness.Goroutines
	if !e.eventually(func() bool { return runtime.NumGoroutine() <= goroutines }) {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		e.Errorf("%d goroutines are left, %d were there at the start:\n%s", runtime.NumGoroutine(), e.before.goroutines, stacks)
	}
	descriptors := e.before.descriptors + e.harness.Descriptors
	if !e.eventually(func() bool { return currentUsage().descriptors <= descriptors }) {
		e.Errorf("%d descriptors are open, %d were at the start: %q", currentUsage().descriptors, e.before.descriptors, openFiles())
	}
}

// eventually polls for up to two seconds until condition is true.
func (e *env) eventually(condition func() bool) bool {
	deadline := time.After(2 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
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
