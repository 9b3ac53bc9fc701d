package tusd

import (
	"fmt"
	"testing"
)

// Side records in memory are bounded, and the newest are there.
func TestMemorySidesAreBounded(t *testing.T) {
	m := newMemorySideRecords()
	const n = 100_000
	key := func(i int) SideKey { return SideKey{"concat", hashName(fmt.Sprint(i))} }
	for i := range n {
		if err := m.PutSide(t.Context(), key(i), make([]byte, 900)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.GetSide(t.Context(), key(n-1)); err != nil || m.values.Bytes() > 4<<20 || m.values.Len() < 1000 {
		t.Errorf("%d side records have %d bytes, the newest: %v", m.values.Len(), m.values.Bytes(), err)
	}
}

// What waits to be read again for its digests is bounded.
func TestCatchUpsAreBounded(t *testing.T) {
	e := newEngine(Config{})
	for i := range maxWaitingCatchUps {
		e.digesting.TryLock(fmt.Sprint(i))
	}
	e.catchUp("one-more")
	if e.digesting.Locked("one-more") {
		t.Error("one more waits")
	}
}
