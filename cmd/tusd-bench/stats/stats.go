// Package stats has the statistics for the comparison of two servers.
package stats

import (
	"math"
	"slices"
)

// Estimate is a median with an interval that contains the true median with probability
// Coverage, for any distribution of the values.
type Estimate struct {
	Median   float64
	Low      float64
	High     float64
	Coverage float64
}

// Confidence is the least coverage of intervals, if there are enough values.
const Confidence = 0.95

// MedianOf estimates the median that values, of which there is at least one,
// were drawn around. The interval lies between two of the values, chosen by
// rank (order statistics): the true median is below the k-th smallest of n
// only if less than k values fell below it, which is a matter of n tosses of
// a coin. The narrowest pair of ranks, symmetric, with at least Confidence is
// taken; with less than six values none has that, and the interval is the
// range of all.
func MedianOf(values []float64) Estimate {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	k := 1
	for k < (n+1)/2 && coverage(n, k+1) >= Confidence {
		k++
	}
	return Estimate{Median: median(sorted), Low: sorted[k-1], High: sorted[n-k], Coverage: coverage(n, k)}
}

// Median returns the middle of at least one value.
func Median(values []float64) float64 {
	return median(slices.Sorted(slices.Values(values)))
}

func median(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// coverage is the probability that the median lies between the k-th smallest
// and the k-th largest of n values: that of n tosses of a coin at least k, and
// at most n-k, are heads.
func coverage(n, k int) float64 {
	outside := 0.0
	for i := range k {
		outside += 2 * binomial(n, i) / math.Exp2(float64(n))
	}
	return 1 - outside
}

// binomial is the number of ways to choose k of n.
func binomial(n, k int) float64 {
	ways := 1.0
	for i := range k {
		ways = ways * float64(n-i) / float64(i+1)
	}
	return ways
}
