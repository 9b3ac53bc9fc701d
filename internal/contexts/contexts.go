// Package contexts has contexts without a channel and a goroutine until Done is called. Most
// uploads are small: their stores only call Err, and end soon.
package contexts

import (
	"context"
	"sync"
	"time"
)

// Lazy is a child of Parent, like one of context.WithCancel, which it creates at the
// first call of Done. Set Parent before use. Safe for concurrent use.
type Lazy struct {
	Parent context.Context

	mu    sync.Mutex
	child context.Context    // nil: Done was not called
	end   context.CancelFunc // of child
	ended bool
}

// Cancel ends c.
func (c *Lazy) Cancel() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.child != nil {
		c.end()
	}
}

// current returns the child if there is one, otherwise the parent.
func (c *Lazy) current() (ctx context.Context, ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.child != nil {
		return c.child, false // the child itself knows whether it has ended
	}
	return c.Parent, c.ended
}

// Deadline implements context.Context.
func (c *Lazy) Deadline() (time.Time, bool) { return c.Parent.Deadline() }

// Done implements context.Context.
func (c *Lazy) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.child == nil {
		c.child, c.end = context.WithCancel(c.Parent)
		if c.ended {
			c.end()
		}
	}
	return c.child.Done()
}

// Err implements context.Context.
func (c *Lazy) Err() error {
	ctx, ended := c.current()
	if err := ctx.Err(); err != nil || !ended {
		return err
	}
	return context.Canceled
}

// Value implements context.Context. The child answers the queries of package context,
// so that children of c learn of its end without a goroutine, and the cause is the
// parent's if the parent ended first.
func (c *Lazy) Value(key any) any {
	ctx, _ := c.current()
	return ctx.Value(key)
}

// Graceful is a child of Parent that also ends when a grace period after the end of
// Client is over. Set the exported fields before use. Safe for concurrent use.
type Graceful struct {
	Lazy
	Client context.Context
	Grace  time.Duration

	// guarded by Lazy.mu
	unwatch func() bool // stops watching Client; nil: it is not watched
	timer   *time.Timer // of the grace period; nil: it has not begun
}

// Done implements context.Context.
func (c *Graceful) Done() <-chan struct{} {
	c.mu.Lock()
	if c.unwatch == nil && !c.ended {
		c.unwatch = context.AfterFunc(c.Client, c.beginGrace)
	}
	c.mu.Unlock()
	return c.Lazy.Done()
}

// Err implements context.Context.
func (c *Graceful) Err() error {
	if c.Client.Err() != nil {
		c.beginGrace()
	}
	return c.Lazy.Err()
}

// beginGrace begins the grace period, once.
func (c *Graceful) beginGrace() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer == nil && !c.ended {
		c.timer = time.AfterFunc(c.Grace, c.Lazy.Cancel)
	}
}

// Cancel ends c and releases its resources.
func (c *Graceful) Cancel() {
	c.Lazy.Cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unwatch != nil {
		c.unwatch()
	}
	if c.timer != nil {
		c.timer.Stop()
	}
}

// Outlive returns a context that ends grace after the end of ctx. The caller calls stop
// when the work in it is done.
func Outlive(ctx context.Context, grace time.Duration) (longer context.Context, stop func()) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	detach := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(grace, cancel)
		context.AfterFunc(longer, func() { timer.Stop() })
	})
	return longer, func() {
		detach()
		cancel()
	}
}
