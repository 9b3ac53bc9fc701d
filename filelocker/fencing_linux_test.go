package filelocker

import (
	"fmt"
	"testing"

	"github.com/tus/tusd"
)

// fenceOf locks and unlocks id, and returns the numbers of its grant.
func fenceOf(t *testing.T, l *FileLocker, id string) (n, before uint64) {
	t.Helper()
	lease := mustLock(t, l, id, tusd.LockTry)
	defer wantUnlocked(t, lease)
	return lease.Fence()
}

// The only locker on a directory knows the previous grant of each id. A locker beside
// others reports no previous grant.
func TestFenceWithOtherLockers(t *testing.T) {
	dir := t.TempDir()
	l := onDir("default", dir)
	defer l.Close()
	first, _ := fenceOf(t, l, "a")
	second, before := fenceOf(t, l, "a")
	if first == 0 || second <= first || before != first {
		t.Fatalf("alone: grants %d, %d with before %d", first, second, before)
	}
	other := onDir("default", dir)
	theirs, _ := fenceOf(t, other, "a")
	third, before := fenceOf(t, l, "a")
	if theirs <= second || third <= theirs || before != 0 {
		t.Errorf("with another locker: grants %d, %d (of the other), %d with before %d", second, theirs, third, before)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	fourth, before := fenceOf(t, l, "a")
	if fourth <= third || before != 0 {
		t.Errorf("alone again: grants %d, %d with before %d", third, fourth, before)
	}
	if _, before := fenceOf(t, l, "a"); before != fourth {
		t.Errorf("the second time alone again: before is %d, want %d", before, fourth)
	}
}

// If another locker opens, locks and closes between two grants, the second grant reports
// no previous one.
func TestFenceAfterGrantsOfOthers(t *testing.T) {
	dir := t.TempDir()
	l := onDir("default", dir)
	defer l.Close()
	last, _ := fenceOf(t, l, "a")
	for range 5 {
		other := onDir("default", dir)
		theirs, _ := fenceOf(t, other, "a")
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		n, before := fenceOf(t, l, "a")
		if theirs <= last || n <= theirs || before != 0 {
			t.Fatalf("grants %d, %d (of the other), %d with before %d", last, theirs, n, before)
		}
		last = n
	}
}

// Ids that share a slot have fencing numbers of their own.
func TestFenceOnOneSlot(t *testing.T) {
	l := lockers(t, "one byte", 1)[0]
	a, _ := fenceOf(t, l, "a")
	b, before := fenceOf(t, l, "b")
	if before != 0 {
		t.Errorf("the first grant of b has before %d", before)
	}
	if _, before := fenceOf(t, l, "a"); before != a {
		t.Errorf("the second grant of a has before %d, want %d", before, a)
	}
	if _, before := fenceOf(t, l, "b"); before != b {
		t.Errorf("the second grant of b has before %d, want %d", before, b)
	}
}

// The memory for grants is bounded. For an id that is not in it, before is 0.
func TestFencesAreBounded(t *testing.T) {
	l := lockers(t, "default", 1)[0]
	fenceOf(t, l, "a")
	known := func() map[idHash]uint64 { return l.dir.slots.(*ofdSlots).known }
	for i := range maxFences {
		known()[hashForFence(fmt.Sprint("other-", i))] = 1
	}
	n, before := fenceOf(t, l, "a")
	if before == 0 {
		t.Error("the grant of a known id has before 0")
	}
	delete(known(), hashForFence("a"))
	if again, before := fenceOf(t, l, "a"); again <= n || before != 0 {
		t.Errorf("grants %d, %d with before %d", n, again, before)
	}
	if len(known()) > maxFences {
		t.Errorf("%d grants are in memory, want at most %d", len(known()), maxFences)
	}
}
