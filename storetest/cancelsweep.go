package storetest

import (
	"context"
	"sync"
)

// cancelAfterChecks is a context that ends at the n-th call of Done, Err or Value. It
// cuts an operation at every place that checks its context.
type cancelAfterChecks struct {
	context.Context
	end context.CancelFunc

	mu   sync.Mutex
	left int
}

// newCancelAfterChecks returns a context that ends at the n-th check.
func newCancelAfterChecks(parent context.Context, n int) *cancelAfterChecks {
	ctx, cancel := context.WithCancel(parent)
	return &cancelAfterChecks{Context: ctx, end: cancel, left: n}
}

func (c *cancelAfterChecks) check() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left--
	if c.left == 0 {
		c.end()
	}
}

func (c *cancelAfterChecks) Done() <-chan struct{} {
	c.check()
	return c.Context.Done()
}

func (c *cancelAfterChecks) Err() error {
	c.check()
	return c.Context.Err()
}

// Value is a check, too: context.Cause calls it.
func (c *cancelAfterChecks) Value(key any) any {
	c.check()
	return c.Context.Value(key)
}

// maxChecks bounds the checks of one operation.
const maxChecks = 60

// sweepCancel runs attempt with a context that ends at the first check, the
// second, and so on, until attempt succeeds.
func (e *env) sweepCancel(attempt func(ctx context.Context, check int) error) {
	e.Helper()
	for check := 1; check <= maxChecks; check++ {
		ctx := newCancelAfterChecks(e.Context(), check)
		err := attempt(ctx, check)
		ctx.end()
		if err == nil || e.Failed() {
			return
		}
	}
	e.Logf("still cut at the %dth check of the context", maxChecks)
}
