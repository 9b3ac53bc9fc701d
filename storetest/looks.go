package storetest

import (
	"context"
	"sync"
)

// lookCtx is a context that ends when somebody looks at it for the n-th time,
// so that an operation can be cut at every place where it notices.
type lookCtx struct {
	context.Context
	end context.CancelFunc

	mu   sync.Mutex
	left int
}

// endsAtLook returns a context that has ended when Done or Err is called for
// the n-th time.
func endsAtLook(parent context.Context, n int) *lookCtx {
	ctx, cancel := context.WithCancel(parent)
	return &lookCtx{Context: ctx, end: cancel, left: n}
}

func (c *lookCtx) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left--
	if c.left == 0 {
		c.end()
	}
}

func (c *lookCtx) Done() <-chan struct{} {
	c.look()
	return c.Context.Done()
}

func (c *lookCtx) Err() error {
	c.look()
	return c.Context.Err()
}

// Value looks, too: context.Cause finds the cause of an end through it.
func (c *lookCtx) Value(key any) any {
	c.look()
	return c.Context.Value(key)
}

// maxLooks bounds a sweep over the looks of one operation.
const maxLooks = 60

// sweepLooks runs attempt with a context that ends at the first look, the
// second, and so on, until attempt succeeds.
func (e *env) sweepLooks(attempt func(ctx context.Context, look int) error) {
	e.Helper()
	for look := 1; look <= maxLooks; look++ {
		ctx := endsAtLook(e.Context(), look)
		err := attempt(ctx, look)
		ctx.end()
		if err == nil || e.Failed() {
			return
		}
	}
	e.Logf("still cut at the %dth look at the context", maxLooks)
}
