package tusd

import (
	"context"
	"sync"
	"time"
)

// Contexts that cost next to nothing while nobody waits for their end. Most
// uploads are small: their stores look whether they may still write, and are
// done before it would pay to be told.

// lateContext is a child of parent, like one of context.WithCancel. It becomes
// one when somebody asks for the channel that tells its end. Set parent before
// use; safe for concurrent use.
type lateContext struct {
	parent context.Context

	mu    sync.Mutex
	child context.Context    // nil: nobody has asked
	end   context.CancelFunc // of child
	ended bool
}

// cancel ends c.
func (c *lateContext) cancel() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.child != nil {
		c.end()
	}
}

// made is the context that c has become, or its parent.
func (c *lateContext) made() (as context.Context, ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.child != nil {
		return c.child, false // it knows best
	}
	return c.parent, c.ended
}

// Deadline implements context.Context.
func (c *lateContext) Deadline() (time.Time, bool) { return c.parent.Deadline() }

// Done implements context.Context.
func (c *lateContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.child == nil {
		c.child, c.end = context.WithCancel(c.parent)
		if c.ended {
			c.end()
		}
	}
	return c.child.Done()
}

// Err implements context.Context.
func (c *lateContext) Err() error {
	as, ended := c.made()
	if err := as.Err(); err != nil || !ended {
		return err
	}
	return context.Canceled
}

// Value implements context.Context. Asked by package context, it is the child
// that answers: so children of c are told of its end without a goroutine, and
// the cause is that of the parent if that has ended first.
func (c *lateContext) Value(key any) any {
	as, _ := c.made()
	return as.Value(key)
}

// workContext is the context in which an upload is worked on: a child of the
// lease's context that also ends a grace period after the client has gone.
type workContext struct {
	lateContext
	client context.Context
	grace  time.Duration

	// guarded by lateContext.mu
	forget func() bool // ends the watch over client; nil: there is none
	timer  *time.Timer // nil: client has not ended, or nobody has noticed
}

// Done implements context.Context.
func (c *workContext) Done() <-chan struct{} {
	c.mu.Lock()
	if c.forget == nil && !c.ended {
		c.forget = context.AfterFunc(c.client, c.left)
	}
	c.mu.Unlock()
	return c.lateContext.Done()
}

// Err implements context.Context.
func (c *workContext) Err() error {
	if c.client.Err() != nil {
		c.left()
	}
	return c.lateContext.Err()
}

// left begins the grace period, once.
func (c *workContext) left() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer == nil && !c.ended {
		c.timer = time.AfterFunc(c.grace, c.lateContext.cancel)
	}
}

// cancel ends c and frees what it holds.
func (c *workContext) cancel() {
	c.lateContext.cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.forget != nil {
		c.forget()
	}
	if c.timer != nil {
		c.timer.Stop()
	}
}
