package retry_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd/internal/retry"
)

var errPasses = errors.New("it may pass")

func passes(err error) bool { return errors.Is(err, errPasses) }

// The waits double, and vary by a quarter. The last result is returned.
func TestCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 100 {
			var at []time.Time
			n, err := retry.Call(t.Context(), 4, time.Second, passes, func() (int, error) {
				at = append(at, time.Now())
				return len(at), errPasses
			})
			if n != 4 || !passes(err) || len(at) != 4 {
				t.Fatalf("%d, %v after %d calls", n, err, len(at))
			}
			for i, usual := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
				if wait := at[i+1].Sub(at[i]); wait < usual*3/4 || wait > usual*5/4 {
					t.Errorf("wait %d took %v, want about %v", i+1, wait, usual)
				}
			}
		}
	})
}

func TestEndOfCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			results []error // of the calls
			timeout time.Duration
			calls   int
		}{
			"success":                       {[]error{nil}, time.Hour, 1},
			"success at last":               {[]error{errPasses, errPasses, nil}, time.Hour, 3},
			"another error":                 {[]error{errPasses, errors.New("it stays")}, time.Hour, 2},
			"the context would end earlier": {[]error{errPasses, errPasses, nil}, 2 * time.Second, 2},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), c.timeout)
			calls, start := 0, time.Now()
			_, err := retry.Call(ctx, 5, time.Second, passes, func() (int, error) {
				calls++
				return 0, c.results[calls-1]
			})
			if calls != c.calls || !errors.Is(err, c.results[calls-1]) || time.Since(start) >= c.timeout {
				t.Errorf("%s: %d calls, %v after %v", name, calls, err, time.Since(start))
			}
			cancel()
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer time.AfterFunc(time.Second/2, cancel).Stop()
		if _, err := retry.Call(ctx, 5, time.Second, passes, func() (int, error) { return 0, errPasses }); !passes(err) {
			t.Errorf("after the end of the context: %v", err)
		}
	})
}
