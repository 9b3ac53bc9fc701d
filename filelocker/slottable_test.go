package filelocker

import (
	"fmt"
	"math"
	"os"
	"slices"
	"testing"
)

// Processes of other versions use the same numbers. With other numbers, an old and a new
// process could lock the same upload during an update.
func TestSlotNumbersDoNotChange(t *testing.T) {
	const sum = 0xca978112ca1bbdca // the first 8 bytes of the SHA-256 of "a"
	if got := hashID("a"); got != sum>>3 {
		t.Errorf("the hash of a is %#x, want %#x", got, uint64(sum>>3))
	}
	for slot, want := range map[int64]int64{
		heldSlot.slot(0):         1 << 61,
		requestSlot.slot(5):      2<<61 + 5,
		newerRequestSlot.slot(5): 3<<61 + 5,
		newerRequestSlot.last():  math.MaxInt64,
	} {
		if slot != want {
			t.Errorf("a slot is %#x, want %#x", slot, want)
		}
	}
}

// No id is hashed to a reserved slot, or to a slot of another kind.
func TestSlotsOfKindsDoNotOverlap(t *testing.T) {
	for _, hash := range []uint64{0, 1, hashMask} {
		for _, k := range []slotKind{heldSlot, requestSlot, newerRequestSlot} {
			slot := k.slot(hash)
			if slot <= membershipSlot || slot < k.first() || slot > k.last() || hashOfSlot(slot) != hash {
				t.Errorf("kind %d of hash %#x is slot %#x, between %#x and %#x", k, hash, slot, k.first(), k.last())
			}
		}
	}
	if heldSlot.last() >= requestSlot.first() || requestSlot.last() >= newerRequestSlot.first() {
		t.Error("kinds overlap")
	}
}

// eachSlotTable runs test with three slot tables of one directory, for each implementation.
func eachSlotTable(t *testing.T, test func(t *testing.T, a, b, c slotTable)) {
	for name, open := range slotTables {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			test(t, newSlots(t, dir, open), newSlots(t, dir, open), newSlots(t, dir, open))
		})
	}
}

// slotTables are the implementations, by name.
var slotTables = map[string]func(*os.Root) (slotTable, error){
	"system": openSlots,
	"files":  func(root *os.Root) (slotTable, error) { return openSlotFiles(root) },
}

func newSlots(t *testing.T, dir string, open func(*os.Root) (slotTable, error)) slotTable {
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	b, err := open(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.close() })
	return b
}

func mustTake(t *testing.T, b slotTable, slots ...int64) {
	t.Helper()
	for _, slot := range slots {
		if ok, err := b.take(slot); err != nil || !ok {
			t.Fatalf("take %#x: %t, %v", slot, ok, err)
		}
	}
}

// takenByOthers returns the slots from first to last that others than b have taken.
func takenByOthers(t *testing.T, b slotTable, first, last int64) (slots []int64) {
	t.Helper()
	err := b.takenByOthers(first, last, func(from, to int64) {
		for i := range min(to-from, 100) + 1 {
			slots = append(slots, from+i)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(slots)
	return slots
}

// A locker sees all slots in a range that others have taken, also adjacent ones, and not
// its own.
func TestSlotsOfOthersAreVisible(t *testing.T) {
	eachSlotTable(t, func(t *testing.T, a, b, c slotTable) {
		slots := []int64{requestSlot.first(), requestSlot.slot(7), requestSlot.slot(8), requestSlot.slot(9), requestSlot.slot(1 << 40), newerRequestSlot.last()}
		mustTake(t, a, slots...)
		mustTake(t, b, requestSlot.slot(3), heldSlot.slot(7))
		if got := takenByOthers(t, b, requestSlot.first(), newerRequestSlot.last()); !slices.Equal(got, slots) {
			t.Errorf("the other sees %#x, want %#x", got, slots)
		}
		if got := takenByOthers(t, b, requestSlot.slot(8), requestSlot.slot(8)); !slices.Equal(got, []int64{requestSlot.slot(8)}) {
			t.Errorf("in a range of one the other sees %#x", got)
		}
		if got := takenByOthers(t, a, requestSlot.first(), newerRequestSlot.last()); !slices.Equal(got, []int64{requestSlot.slot(3)}) {
			t.Errorf("the owner sees %#x", got)
		}
		all := slices.Sorted(slices.Values(append(slots, requestSlot.slot(3))))
		if got := takenByOthers(t, c, requestSlot.first(), newerRequestSlot.last()); !slices.Equal(got, all) {
			t.Errorf("a third one sees %#x, want %#x", got, all)
		}
	})
}

func TestSlotsExclude(t *testing.T) {
	eachSlotTable(t, func(t *testing.T, a, b, _ slotTable) {
		slot := heldSlot.slot(7)
		mustTake(t, a, slot, slot, heldSlot.slot(8))
		if ok, err := b.take(slot); ok || err != nil {
			t.Errorf("the other takes a slot that is taken: %t, %v", ok, err)
		}
		if err := a.free(slot); err != nil {
			t.Fatal(err)
		}
		mustTake(t, b, slot)
		if ok, err := b.take(heldSlot.slot(8)); ok || err != nil {
			t.Errorf("with the slot its neighbour was freed: %t, %v", ok, err)
		}
		if err := a.close(); err != nil {
			t.Fatal(err)
		}
		mustTake(t, b, heldSlot.slot(8))
	})
}

// A free slot leaves no file.
func TestSlotFilesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	l := onDir("files", dir)
	mustLock(t, l, "a", 0).Unlock(t.Context())
	if err := os.WriteFile(fmt.Sprintf("%s/%s/%016x", dir, slotDirName, requestSlot.slot(3)), nil, 0o600); err != nil {
		t.Fatal(err) // the file of a killed process
	}
	if got := takenByOthers(t, l.dir.slots, requestSlot.first(), newerRequestSlot.last()); len(got) > 0 {
		t.Errorf("a file that is not locked counts: %#x", got)
	}
	if left, err := os.ReadDir(dir + "/" + slotDirName); err != nil || len(left) > 0 {
		t.Errorf("%v are left (%v)", left, err)
	}
}
