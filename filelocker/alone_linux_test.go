package filelocker

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tus/tusd"
)

// openedOFD opens a board as a locker does that is not the first.
func openedOFD(t *testing.T, dir string) *ofdBoard {
	return openedBoard(t, dir, func(root *os.Root) (board, error) { return openOFDBoard(root) }).(*ofdBoard)
}

func mustClaim(t *testing.T, b board) {
	t.Helper()
	if err := b.claim(); err != nil {
		t.Fatal(err)
	}
}

// Who is alone locks nothing but presence. Who comes is let in by attend, and
// then meets what the first one has, and nothing that it has given back.
func TestAloneOnABoard(t *testing.T) {
	dir := t.TempDir()
	a, b := openedOFD(t, dir), openedOFD(t, dir)
	mustClaim(t, a)
	mustTake(t, a, hold.slot(1), hold.slot(2))
	if got := seenBy(t, b, hold.first(), push.last()); len(got) > 0 {
		t.Errorf("alone it locks %#x", got)
	}
	if !a.attend(true) {
		t.Error("nobody waits, and it need not look again")
	}
	if err := b.claim(); !errors.Is(err, errAlone) {
		t.Fatalf("beside one that is alone: %v", err)
	}
	if a.attend(true) {
		t.Error("somebody waits, and it stays alone")
	}
	mustClaim(t, b)
	if err := a.free(hold.slot(2)); err != nil {
		t.Fatal(err)
	}
	if ok, err := b.take(hold.slot(1)); ok || err != nil {
		t.Errorf("what the first one has can be taken: %t, %v", ok, err)
	}
	mustTake(t, b, hold.slot(2))
	mustClaim(t, a)
	if a.alone || b.alone {
		t.Errorf("of two that are there, alone are: %t, %t", a.alone, b.alone)
	}
}

// What was locked beside others stays so, and is given back as it was taken.
func TestAloneAgain(t *testing.T) {
	dir := t.TempDir()
	a, b := openedOFD(t, dir), openedOFD(t, dir)
	mustClaim(t, b)
	b.attend(false)
	mustClaim(t, a)
	mustTake(t, a, hold.slot(1))
	if err := b.close(); err != nil {
		t.Fatal(err)
	}
	mustClaim(t, a)
	mustTake(t, a, hold.slot(1), hold.slot(2))
	c := openedOFD(t, dir)
	if got := seenBy(t, c, hold.first(), push.last()); !a.alone || len(got) != 1 || got[0] != hold.slot(1) {
		t.Errorf("alone: %t, and it locks %#x, want what was locked before", a.alone, got)
	}
	for _, slot := range []int64{hold.slot(1), hold.slot(2)} {
		if err := a.free(slot); err != nil {
			t.Fatal(err)
		}
	}
	a.attend(false)
	mustClaim(t, c)
	mustTake(t, c, hold.slot(1), hold.slot(2))
}

// Who wants in is not kept out by one that is alone, leaves, and is back at
// once.
func TestWhoKnocksComesIn(t *testing.T) {
	dir := t.TempDir()
	a, b := openedOFD(t, dir), openedOFD(t, dir)
	mustClaim(t, a)
	if err := b.claim(); !errors.Is(err, errAlone) {
		t.Fatalf("beside one that is alone: %v", err)
	}
	for range 3 {
		a.attend(false)
		mustClaim(t, a)
	}
	mustClaim(t, b)
}

// A locker whose process has been stopped keeps the others out. They say so
// and do not wait for ever.
func TestBesideAStoppedProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := lockers(t, "default", 1)[0]
		stopped := openedOFD(t, l.Path)
		mustClaim(t, stopped)
		began := time.Now()
		_, err := l.Lock(t.Context(), "a", tusd.LockTry)
		if !errors.Is(err, tusd.ErrLockTimeout) || time.Since(began) > 2*joinPatience {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), joinPause)
		defer cancel()
		if _, err := l.Lock(ctx, "a", tusd.LockTake); !errors.Is(err, tusd.ErrLockTimeout) {
			t.Errorf("with less patience: %v", err)
		}
		stopped.attend(true)
		wantUnlocked(t, mustLock(t, l, "a", tusd.LockTry))
	})
}

// A locker that is busy makes room for another one, whose requests find what is
// held.
func TestJoinABusyLocker(t *testing.T) {
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
	taker := request(t, other, "d", tusd.LockTake)
	wantAsked(t, holder)
	wantUnlocked(t, holder)
	wantUnlocked(t, granted(t, "the other", taker))
}

// Between requests nobody is kept out, and the grant before is known all the
// same when the next one comes.
func TestIdleLocker(t *testing.T) {
	l := lockers(t, "default", 1)[0]
	first, _ := fenceOf(t, l, "a")
	eventually(t, "the watcher ends", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return !l.watching
	})
	probe := openedOFD(t, l.Path)
	if ok, err := probe.set(presence, unix.F_RDLCK); !ok || err != nil {
		t.Fatalf("idle, and others are kept out: %t, %v", ok, err)
	}
	if err := probe.close(); err != nil {
		t.Fatal(err)
	}
	if _, before := fenceOf(t, l, "a"); before != first {
		t.Errorf("after a while the grant before is %d, want %d", before, first)
	}
}

// Lockers come, are alone or not, and go: an id has one holder at a time, and
// its grants are numbered upwards.
func TestLockersComeAndGo(t *testing.T) {
	dir := t.TempDir()
	ids := []string{"a", "b", "c"}
	var holders [3]atomic.Int64
	var last [3]atomic.Uint64
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
						t.Errorf("grant %d, after %d, says that before it was %d", n, was, before)
					}
					<-time.After(rand.N(time.Millisecond)) // work
					holders[i].Add(-1)
					wantUnlocked(t, lease)
				}
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
}
