// Package retry repeats calls that have failed.
package retry

import (
	"context"
	"math/rand/v2"
	"time"
)

// Call calls f until it succeeds, fails in a way that may not pass, or has been called attempts
// times. The wait before the second call is about backoff; it doubles, and varies by a quarter. Call
// returns the result of the last call, also if ctx would end before the next one.
func Call[T any](ctx context.Context, attempts int, backoff time.Duration, mayPass func(error) bool, f func() (T, error)) (T, error) {
	for attempt := 1; ; attempt++ {
		result, err := f()
		if err == nil || !mayPass(err) || attempt >= attempts || !sleep(ctx, backoff) {
			return result, err
		}
		backoff *= 2
	}
}

// sleep waits for about d. It returns false if ctx ends first, or would.
func sleep(ctx context.Context, d time.Duration) bool {
	d += time.Duration((rand.Float64() - 0.5) / 2 * float64(d))
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
