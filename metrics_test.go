package tusd

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	var h Histogram
	for _, d := range []time.Duration{0, 500 * time.Microsecond, 501 * time.Microsecond, time.Second, 24 * time.Hour} {
		h.Observe(d)
	}
	s := h.Snapshot()
	if len(s.Counts) != len(s.Bounds)+1 || !slices.IsSorted(s.Bounds) || s.Bounds[0] != 0.0005 {
		t.Fatalf("bounds %v, %d counts", s.Bounds, len(s.Counts))
	}
	second := slices.Index(s.Bounds, 1)
	if s.Counts[0] != 2 || s.Counts[1] != 1 || s.Counts[second] != 1 || s.Counts[len(s.Bounds)] != 1 || s.Count != 5 {
		t.Errorf("counts %v, %d in all", s.Counts, s.Count)
	}
	if want := 24*3600 + 1 + 0.001001; math.Abs(s.Sum-want) > 1e-9 {
		t.Errorf("sum %v, want %v", s.Sum, want)
	}
}
