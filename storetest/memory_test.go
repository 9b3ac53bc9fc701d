package storetest

import (
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/require"
)

func newComposer(m *Memory) *tusd.StoreComposer {
	c := tusd.NewStoreComposer()
	m.UseIn(c)
	return c
}

func (m *Memory) breakRecord(id string) { m.uploads[id].record = []byte(`{"ID":`) }

func (m *Memory) leaveSome() { m.leftovers = []string{"left 1", "left 2"} }

func memoryHarness() Harness {
	return Harness{
		New: func(testing.TB) *tusd.StoreComposer { return newComposer(NewMemory()) },
		Reopen: func(_ testing.TB, c *tusd.StoreComposer) *tusd.StoreComposer {
			return newComposer(c.Core.(*Memory).Reopen())
		},
		Claims: Everything,
		Break: func(_ testing.TB, c *tusd.StoreComposer, id string) {
			c.Core.(*Memory).breakRecord(id)
		},
		Leave: func(_ testing.TB, c *tusd.StoreComposer) {
			c.Core.(*Memory).leaveSome()
		},
		Leftovers: func(_ testing.TB, c *tusd.StoreComposer, ids []string) []string {
			known := make(map[string]bool)
			for _, id := range ids {
				known[id] = true
			}
			var left []string
			for id := range c.Core.(*Memory).uploads {
				if !known[id] {
					left = append(left, "upload "+id)
				}
			}
			return left
		},
	}
}

func TestMemory(t *testing.T) { Run(t, memoryHarness()) }

// TestMemoryCore runs the suite on a composer without abilities.
func TestMemoryCore(t *testing.T) {
	require.Long(t)
	h := memoryHarness()
	bare := func(m *Memory) *tusd.StoreComposer {
		c := tusd.NewStoreComposer()
		c.Core = m
		return c
	}
	h.New = func(testing.TB) *tusd.StoreComposer { return bare(NewMemory()) }
	h.Reopen = func(_ testing.TB, c *tusd.StoreComposer) *tusd.StoreComposer {
		return bare(c.Core.(*Memory).Reopen())
	}
	h.Claims = 0
	Run(t, h)
}

// Memory refuses calls of NewUpload that violate the caller's guarantees. Since the suite
// passes on a Memory, the suite keeps them.
func TestMemoryChecksItsCallers(t *testing.T) {
	for what, info := range map[string]tusd.FileInfo{
		"an offset":         {ID: "a", Size: 10, Offset: 5},
		"a negative offset": {ID: "a", Size: 10, Offset: -1},
		"a negative length": {ID: "a", Size: -1},
		"no id":             {Size: 10},
		"an invalid id":     {ID: "a/../b", Size: 10},
	} {
		m := NewMemory()
		lease, err := new(tusd.LocalLocker).Lock(t.Context(), "a", tusd.LockTry)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.NewUpload(t.Context(), lease, info); err == nil {
			t.Errorf("a new upload with %s is accepted", what)
		}
	}
}
