package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{7}, 7},
		{[]float64{9, 1}, 5},
		{[]float64{9, 1, 2}, 2},
		{[]float64{4, 1, 3, 2}, 2.5},
	} {
		if got := Median(c.values); got != c.want {
			t.Errorf("%v: %v, want %v", c.values, got, c.want)
		}
	}
}

// TestIntervalRanks compares with the published table of confidence intervals
// for a median (95 %): the ranks of its ends for n values.
func TestIntervalRanks(t *testing.T) {
	for _, c := range []struct {
		n, low, high int
		coverage     float64
	}{
		{1, 1, 1, 0}, {5, 1, 5, 0.9375},
		{6, 1, 6, 0.96875}, {8, 1, 8, 0.9922}, {9, 2, 8, 0.9609},
		{10, 2, 9, 0.9785}, {15, 4, 12, 0.9648}, {20, 6, 15, 0.9586}, {30, 10, 21, 0.9572},
	} {
		values := make([]float64, c.n)
		for i, rank := range rand.Perm(c.n) {
			values[i] = float64(rank + 1)
		}
		got := MedianOf(values)
		if got.Low != float64(c.low) || got.High != float64(c.high) || math.Abs(got.Coverage-c.coverage) > 0.0001 {
			t.Errorf("%d values: %+v, want ranks %d and %d with %.4f", c.n, got, c.low, c.high, c.coverage)
		}
		if want := float64(c.n+1) / 2; got.Median != want {
			t.Errorf("%d values: median %v, want %v", c.n, got.Median, want)
		}
	}
}

// TestIntervalContainsMedian draws from a skewed distribution with a known median.
// The share of intervals that contain it matches the coverage.
func TestIntervalContainsMedian(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const rounds = 20000
	containing := 0
	for range rounds {
		values := make([]float64, 15)
		for i := range values {
			values[i] = random.ExpFloat64()
		}
		if e := MedianOf(values); e.Low <= math.Ln2 && math.Ln2 <= e.High {
			containing++
		}
	}
	if share := float64(containing) / rounds; math.Abs(share-0.9648) > 0.01 {
		t.Errorf("%.4f of the intervals contain the median, want 0.9648", share)
	}
}
