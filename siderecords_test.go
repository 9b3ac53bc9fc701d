package tusd

import (
	"fmt"
	"testing"
)

// The memory for side records is bounded, and has the newest ones.
func TestMemorySidesAreBounded(t *testing.T) {
	m := newMemorySideRecords()
	const n = 100_000
	key := func(i int) SideRecordKey { return SideRecordKey{"concat", hashName(fmt.Sprint(i))} }
	for i := range n {
		if err := m.PutSideRecord(t.Context(), key(i), make([]byte, 900)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.GetSideRecord(t.Context(), key(n-1)); err != nil || m.values.Bytes() > 4<<20 || m.values.Len() < 1000 {
		t.Errorf("%d side records have %d bytes, the newest: %v", m.values.Len(), m.values.Bytes(), err)
	}
}
