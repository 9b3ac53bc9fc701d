package tusd

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Calls return at the rate, and are at most paceBurst ahead of it.
func TestPacer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, rate := range []int{1, 100, 1000} {
			p, begun := newPacer(rate), time.Now()
			for n := range 3 * rate {
				if err := p.wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				if due := time.Duration(n) * time.Second / time.Duration(rate); time.Since(begun) < due-paceBurst || time.Since(begun) > due+time.Second/time.Duration(rate) {
					t.Fatalf("rate %d: call %d returns after %v, is due after %v", rate, n, time.Since(begun), due)
				}
			}
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		p, cause := newPacer(1), errors.New("cancelled")
		time.AfterFunc(1500*time.Millisecond, func() { cancel(cause) })
		for n := range 5 {
			if err := p.wait(ctx); err != nil {
				if !errors.Is(err, cause) || n != 1 {
					t.Errorf("call %d: %v", n, err)
				}
				return
			}
		}
		t.Error("the end of ctx is not seen")
	})
}
