package filelocker

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tus/tusd"
)

// newOFDSlots opens the slots of a directory, as one more locker.
func newOFDSlots(t *testing.T, dir string) *ofdSlots {
	return newSlots(t, dir, func(root *os.Root) (slotTable, error) { return openOFDSlots(root) }).(*ofdSlots)
}

func mustJoin(t *testing.T, b slotTable) {
	t.Helper()
	if err := b.join(); err != nil {
		t.Fatal(err)
	}
}

// The slots of the only locker are visible to a new one at once.
func TestSlotsOfTheOnlyLockerAreVisible(t *testing.T) {
	dir := t.TempDir()
	a, b := newOFDSlots(t, dir), newOFDSlots(t, dir)
	mustJoin(t, a)
	mustTake(t, a, heldSlot.slot(1), heldSlot.slot(2))
	mustJoin(t, b)
	if got := takenByOthers(t, b, heldSlot.first(), newerRequestSlot.last()); len(got) != 2 {
		t.Errorf("the other one sees %#x, want two slots", got)
	}
	if ok, err := b.take(heldSlot.slot(1)); ok || err != nil {
		t.Errorf("a slot of the first one can be taken: %t, %v", ok, err)
	}
	if err := a.free(heldSlot.slot(2)); err != nil {
		t.Fatal(err)
	}
	mustTake(t, b, heldSlot.slot(2))
}

// While a program has locked the whole lock file exclusively, new lockers cannot join.
// Lockers that have joined still work.
func TestLockFileLockedByAnotherProgram(t *testing.T) {
	l := lockers(t, "default", 1)[0]
	program, err := os.OpenFile(filepath.Join(l.Path, slotFileName), os.O_RDWR|os.O_CREATE, 0o664)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	for _, lockType := range []int16{unix.F_WRLCK, unix.F_UNLCK} {
		lock := unix.Flock_t{Type: lockType, Start: membershipSlot, Len: 1}
		if err := unix.FcntlFlock(program.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
			t.Fatal(err)
		}
		lease, err := l.Lock(t.Context(), "a", tusd.LockTry)
		if lockType == unix.F_UNLCK {
			if err != nil {
				t.Fatal(err)
			}
			wantUnlocked(t, lease)
		} else if !errors.Is(err, errMembership) {
			t.Errorf("while a program has locked the file: %v", err)
		}
	}
}

// A locker that joins while another one holds locks sees them, and locks are handed over
// between the two.
func TestJoinWhileLocksAreHeld(t *testing.T) {
	l := lockers(t, "default", 1)[0]
	leases := map[string]tusd.Lease{}
	for _, id := range []string{"a", "b", "c"} {
		leases[id] = mustLock(t, l, id, tusd.LockTry)
	}
	other := onDir("default", l.Path)
	defer other.Close()
	for id, lease := range leases {
		wantRefused(t, other, id)
		wantUnlocked(t, lease)
		wantUnlocked(t, mustLock(t, other, id, tusd.LockTry))
	}
	holder := mustLock(t, l, "d", tusd.LockTry)
	preempter := request(t, other, "d", tusd.LockPreempt)
	wantPreemptedSoon(t, holder)
	wantUnlocked(t, holder)
	wantUnlocked(t, granted(t, "the other", preempter))
}

// A locker that was idle knows the previous grant.
func TestFenceAfterIdleTime(t *testing.T) {
	l := lockers(t, "default", 1)[0]
	first, _ := fenceOf(t, l, "a")
	eventually(t, "the watcher ends", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return !l.watching
	})
	if _, before := fenceOf(t, l, "a"); before != first {
		t.Errorf("after idle time before is %d, want %d", before, first)
	}
}

// A locker that has taken membershipSlot and has not yet extended the file has had no
// grant. Beside it, the previous grant is known; after it has joined, it is not.
func TestFenceWhileAnotherLockerJoins(t *testing.T) {
	dir := t.TempDir()
	a, b := newOFDSlots(t, dir), newOFDSlots(t, dir)
	mustJoin(t, a)
	n, _ := a.fence("a")
	if ok, err := b.set(membershipSlot, unix.F_RDLCK); !ok || err != nil {
		t.Fatalf("membershipSlot cannot be shared: %t, %v", ok, err)
	}
	if m, before := a.fence("a"); before != n {
		t.Errorf("grant %d, with none of another since grant %d: before is %d", m, n, before)
	}
	mustJoin(t, b)
	theirs, before := b.fence("a")
	if before != 0 {
		t.Errorf("the first grant of the new locker has before %d", before)
	}
	if err := b.close(); err != nil {
		t.Fatal(err)
	}
	if m, before := a.fence("a"); before != 0 || m <= theirs {
		t.Errorf("grant %d, after %d of another: before is %d", m, theirs, before)
	}
}

// While lockers join and close, an id has one holder at a time, and its fencing
// numbers grow.
func TestLockersJoinAndClose(t *testing.T) {
	dir := t.TempDir()
	ids := []string{"a", "b", "c"}
	var holders [3]atomic.Int64
	var last [3]atomic.Uint64
	var known atomic.Int64 // grants with a before
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for range 20 {
				l := onDir("default", dir)
				for range 1 + rand.IntN(20) {
					i := rand.IntN(len(ids))
					lease := mustLock(t, l, ids[i], tusd.LockWait)
					n, before := lease.Fence()
					if holders[i].Add(1) != 1 {
						t.Errorf("%s has two holders", ids[i])
					}
					if was := last[i].Swap(n); n <= was || before != 0 && before != was {
						t.Errorf("grant %d, after %d, has before %d", n, was, before)
					}
					if before != 0 {
						known.Add(1)
					}
					<-time.After(rand.N(time.Millisecond)) // work
					holders[i].Add(-1)
					wantUnlocked(t, lease)
				}
				if err := l.Close(); err != nil {
					t.Error(err)
				}
				<-time.After(rand.N(10 * time.Millisecond)) // the others may be alone
			}
		})
	}
	work.Wait()
	t.Logf("%d grants knew the previous one", known.Load())
}

// The request slot of a process that is stopped while it waits stays taken. Leases of
// others are then protected from preemption for a time, unless a newer request comes.
func TestRequestOfAStoppedProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := lockers(t, "default", 1)[0]
		stopped, newer := newOFDSlots(t, l.Path), newOFDSlots(t, l.Path)
		mustTake(t, stopped, requestSlot.slot(hashID("a")))
		first := mustLock(t, l, "a", tusd.LockPreempt)
		time.Sleep(2 * testInterval)
		wantPreempted(t, "the first lease beside a request", first, true)
		time.Sleep(staleRequest)
		wantUnlocked(t, first)
		time.Sleep(10 * testInterval) // a running process would get the lock
		for range 3 {
			lease := mustLock(t, l, "a", tusd.LockPreempt)
			time.Sleep(protection - testInterval)
			wantPreempted(t, "a lease beside a stale request", lease, false)
			time.Sleep(3 * testInterval)
			wantPreempted(t, "the same, later", lease, true)
			wantUnlocked(t, lease)
		}
		lease := mustLock(t, l, "a", tusd.LockPreempt)
		mustTake(t, newer, newerRequestSlot.slot(hashID("a")))
		time.Sleep(2 * testInterval)
		wantPreempted(t, "a lease beside a newer request", lease, true)
		wantUnlocked(t, lease)
	})
}

func wantPreempted(t *testing.T, what string, lease tusd.Lease, want bool) {
	t.Helper()
	synctest.Wait()
	got := false
	select {
	case <-lease.Preempted():
		got = true
	default:
	}
	if got != want {
		t.Errorf("%s is preempted: %t, want %t", what, got, want)
	}
}

// A stopped process blocks only the ids that it holds, not those that it waits for, for
// new and for old lockers.
func TestStoppedProcess(t *testing.T) {
	for _, when := range []string{"new locker", "old locker"} {
		t.Run(when, func(t *testing.T) {
			dir := t.TempDir()
			l := onDir("default", dir)
			defer l.Close()
			var wanted tusd.Lease
			p := startProcess(t, childOn("default", dir))
			p.commandAndExpect("lock 0 held", "granted")
			p.commandAndExpect("lock 0 also", "granted")
			p.commandAndExpect("unlock also", "unlocked") // the locker is in use
			if when == "old locker" {
				wanted = mustLock(t, l, "wanted", tusd.LockTry)
				p.send("lock 0 wanted")
				wantPreemptedSoon(t, wanted)
			}
			p.stop()
			ctx, cancel := context.WithTimeout(t.Context(), 20*testInterval)
			defer cancel()
			for _, mode := range []tusd.LockMode{tusd.LockTry, tusd.LockPreempt, tusd.LockWait} {
				wantUnlocked(t, mustLock(t, l, "also", mode))
			}
			wantRefused(t, l, "held")
			if _, err := l.Lock(ctx, "held", tusd.LockPreempt); !errors.Is(err, tusd.ErrLockTimeout) {
				t.Errorf("the lock of the stopped process: %v", err)
			}
			if wanted != nil {
				wantUnlocked(t, wanted)
				wantUnlocked(t, mustLock(t, l, "wanted", tusd.LockPreempt))
			}
			p.signal(unix.SIGCONT)
			if wanted != nil {
				p.expect("granted")
			}
			p.commandAndExpect("unlock held", "unlocked")
			wantUnlocked(t, mustLock(t, l, "held", tusd.LockPreempt))
		})
	}
}
