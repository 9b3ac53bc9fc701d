package lockertest

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tus/tusd"
)

const exclusiveRule = "Locker: exclusive leases / concurrent use"

var exclusionCases = []testCase{
	{"scope", "Locker.Scope: how far / Constant", 1, scopeConstant},
	{"exclusion/goroutines", exclusiveRule, 1, excludesGoroutines},
	{"exclusion/lockers", exclusiveRule, 3, excludesLockers},
	{"exclusion/ids", "Locker: ValidateID", 2, idsAreIndependent},
	{"exclusion/many-requests", exclusiveRule, 1, manyPreempters},
	{"exclusion/many-lockers", exclusiveRule, 3, manyPreempters},
	{"exclusion/quick", exclusiveRule, 1, quickLocks},
}

func scopeConstant(e *env) {
	for range 3 {
		if got := e.lockers[0].Scope(); got != e.harness.Scope {
			e.Errorf("Scope is %s, want %s", got, e.harness.Scope)
		}
	}
}

// exclusionCheck counts the holders of a lock.
type exclusionCheck struct {
	holders     atomic.Int64
	overlapped  atomic.Bool
	grants      int // without a mutex: the lock under test must guard it
	countGrants bool
}

// hold is called by a holder. The check fails if there is another holder.
func (r *exclusionCheck) hold() {
	if r.holders.Add(1) != 1 {
		r.overlapped.Store(true)
	}
	runtime.Gosched()
	if r.countGrants {
		r.grants++
	}
	r.holders.Add(-1)
}

// lockOften locks and unlocks an id in many goroutines, each over one of the lockers.
func lockOften(e *env, goroutines, visits int) *exclusionCheck {
	// Within a process the race detector knows the order that a lock makes.
	r := &exclusionCheck{countGrants: e.harness.Scope == tusd.ScopeProcess}
	var wg sync.WaitGroup
	for i := range goroutines {
		wg.Go(func() {
			for range visits {
				lease, err := e.lockers[i%len(e.lockers)].Lock(e.ctx(), "a", tusd.LockWait)
				if err != nil {
					e.Errorf("lock: %v", err)
					return
				}
				r.hold()
				if err := lease.Unlock(e.ctx()); err != nil {
					e.Errorf("unlock: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if r.overlapped.Load() {
		e.Error("two requests held the lock at the same time")
	}
	return r
}

func excludesGoroutines(e *env) {
	r := lockOften(e, 16, 25)
	if r.countGrants && r.grants != 16*25 {
		e.Errorf("%d grants were counted, want %d", r.grants, 16*25)
	}
	e.wantFree("a")
}

func excludesLockers(e *env) {
	lease := e.lock("a", tusd.LockTry)
	e.wantHeld("a")
	e.unlock(lease)
	e.wantFree("a")
	lockOften(e, 6, 5)
	e.wantFree("a")
}

// unusualIDs are ids that lockers may confuse with each other, or with paths.
func unusualIDs() []string {
	return []string{
		"a", "A", "aa", "a/b", "a/b/c", "a%2Fb", "a+b", "a_b", "..a", "*", "$'", "a=b;c", "a,b", "@", "--a",
		strings.Repeat("l", 240), strings.Repeat("l", 239) + "m", strings.Repeat(strings.Repeat("d", 99)+"/", 8) + "end",
	}
}

func idsAreIndependent(e *env) {
	var leases []tusd.Lease
	for i, id := range unusualIDs() {
		if err := tusd.ValidateID(id); err != nil {
			e.Fatalf("the suite uses an invalid id: %v", err)
		}
		leases = append(leases, e.lockWith(e.lockers[i%2], id, tusd.LockTry))
	}
	for _, id := range unusualIDs() {
		e.wantHeld(id)
	}
	for _, lease := range leases {
		e.unlock(lease)
	}
	for _, id := range unusualIDs() {
		e.wantFree(id)
	}
}

// manyPreempters sends 50 requests that preempt each other, and retry when they are
// overtaken.
func manyPreempters(e *env) {
	r := new(exclusionCheck)
	var wg sync.WaitGroup
	ctx := e.ctx()
	for i := range 50 {
		wg.Go(func() {
			if err := preemptUntilGranted(ctx, e.lockers[i%len(e.lockers)], r); err != nil {
				e.Errorf("request %d of 50: %v", i, err)
			}
		})
	}
	wg.Wait()
	if r.overlapped.Load() {
		e.Error("two requests held the lock at the same time")
	}
	e.wantFree("a")
}

func preemptUntilGranted(ctx context.Context, locker tusd.Locker, r *exclusionCheck) error {
	for {
		lease, err := locker.Lock(ctx, "a", tusd.LockPreempt)
		if err == nil {
			r.hold()
			return lease.Unlock(ctx)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("no progress: %w", err)
		}
		runtime.Gosched()
	}
}

// quickLocks locks and unlocks 10 000 times, or as often as a second allows.
func quickLocks(e *env) {
	end := time.Now().Add(time.Second)
	for i := 0; i < 10_000 && time.Now().Before(end); i++ {
		id := fmt.Sprintf("upload-%d", i%7)
		e.lockOnce(id)
	}
}

func (e *env) lockOnce(id string) {
	e.Helper()
	lease, err := e.lockers[0].Lock(e.Context(), id, tusd.LockTry)
	if err != nil {
		e.Fatalf("lock %s: %v", id, err)
	}
	if err := lease.Unlock(e.Context()); err != nil {
		e.Fatalf("unlock %s: %v", id, err)
	}
}
