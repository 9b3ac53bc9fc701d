package filelocker

import (
	"fmt"
	"testing"

	"github.com/tus/tusd"
)

// fenceOf locks id once.
func fenceOf(t *testing.T, l *FileLocker, id string) (n, before uint64) {
	t.Helper()
	lease := mustLock(t, l, id, tusd.LockTry)
	defer wantUnlocked(t, lease)
	return lease.Fence()
}

// A locker that is alone knows each grant before; one that is not never claims to.
func TestFenceBesideOthers(t *testing.T) {
	dir := t.TempDir()
	l := onDir("default", dir)
	defer l.Close()
	first, _ := fenceOf(t, l, "a")
	second, before := fenceOf(t, l, "a")
	if first == 0 || second <= first || before != first {
		t.Fatalf("alone: grant %d, then %d, which says that before it was %d", first, second, before)
	}
	other := onDir("default", dir)
	theirs, _ := fenceOf(t, other, "a")
	third, before := fenceOf(t, l, "a")
	if theirs <= second || third <= theirs || before != 0 {
		t.Errorf("beside another: grants %d, %d (its), %d, which says that before it was %d", second, theirs, third, before)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	fourth, before := fenceOf(t, l, "a")
	if fourth <= third || before != 0 {
		t.Errorf("alone again: grant %d after %d says that before it was %d", fourth, third, before)
	}
	if _, before := fenceOf(t, l, "a"); before != fourth {
		t.Errorf("the second time alone again: before is %d, want %d", before, fourth)
	}
}

// Another locker that opens, locks and closes between two grants is noticed each time.
func TestFenceNoticesOthers(t *testing.T) {
	dir := t.TempDir()
	l := onDir("default", dir)
	defer l.Close()
	last, _ := fenceOf(t, l, "a")
	for range 5 {
		visitor := onDir("default", dir)
		theirs, _ := fenceOf(t, visitor, "a")
		if err := visitor.Close(); err != nil {
			t.Fatal(err)
		}
		n, before := fenceOf(t, l, "a")
		if theirs <= last || n <= theirs || before != 0 {
			t.Fatalf("grants %d, %d (of a visitor), %d, which says that before it was %d", last, theirs, n, before)
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
		t.Errorf("the first grant of b says that before it was %d", before)
	}
	if _, before := fenceOf(t, l, "a"); before != a {
		t.Errorf("the second grant of a says that before it was %d, want %d", before, a)
	}
	if _, before := fenceOf(t, l, "b"); before != b {
		t.Errorf("the second grant of b says that before it was %d, want %d", before, b)
	}
}

// The memory for grants is bounded; a forgotten grant before is 0.
func TestFencesAreForgotten(t *testing.T) {
	l := lockers(t, "default", 1)[0]
	fenceOf(t, l, "a")
	known := func() map[idHash]uint64 { return l.dir.slots.(*ofdSlots).known }
	for i := range maxFences {
		known()[hashForFence(fmt.Sprint("other-", i))] = 1
	}
	n, before := fenceOf(t, l, "a")
	if before == 0 {
		t.Error("an id that is known was forgotten")
	}
	delete(known(), hashForFence("a"))
	if again, before := fenceOf(t, l, "a"); again <= n || before != 0 {
		t.Errorf("grant %d after %d says that before it was %d", again, n, before)
	}
	if len(known()) > maxFences {
		t.Errorf("%d grants are remembered, at most %d should be", len(known()), maxFences)
	}
}
