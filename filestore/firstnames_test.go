package filestore

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// firstNames collects the first names in their order, up to its limit.
func TestFirstNames(t *testing.T) {
	s := &firstNames{after: "3", limit: 3}
	for _, name := range []string{"9", "1", "5", "3", "7", "4", "8"} {
		s.offer(name)
	}
	names, last := s.sorted()
	if !slices.Equal(names, []string{"4", "5", "7"}) || last {
		t.Errorf("collected %q, last %t", names, last)
	}
}

// firstNames is bounded in bytes, too, and has no gap: a name that was dropped once is
// not added again.
func TestFirstNamesBoundedInBytes(t *testing.T) {
	for range 1000 {
		s := &firstNames{limit: 1000, maxBytes: 400}
		var all []string
		for range rand.IntN(30) {
			name := fmt.Sprint(rand.IntN(1000), strings.Repeat("x", rand.IntN(100)))
			if !slices.Contains(all, name) {
				all = append(all, name)
				s.offer(name)
			}
		}
		slices.Sort(all)
		names, last := s.sorted()
		if len(names) > 1 && s.bytes > s.maxBytes || !slices.Equal(names, all[:len(names)]) || last != (len(names) == len(all)) || len(names) == 0 && len(all) > 0 {
			t.Fatalf("of %q, collected %q with %d bytes, last %t", all, names, s.bytes, last)
		}
	}
}
