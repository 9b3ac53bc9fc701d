// Package background runs work that no request waits for.
package background

import (
	"context"
	"sync"
)

// Group counts work in the background. Unlike a sync.WaitGroup, it refuses new work
// once Wait was called, and Wait ends with its context. Set Panicked before use. Safe
// for concurrent use.
type Group struct {
	mu     sync.Mutex
	n      int
	closed bool
	idle   chan struct{} // closed when closed and n == 0; made by Wait

	// Panicked is called with the value of a panic, which ends only the work that
	// panicked.
	Panicked func(any)
}

// Start runs f in the background. It reports false if the group is closed.
func (g *Group) Start(f func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.n++
	go func() {
		defer g.done()
		defer func() {
			if r := recover(); r != nil {
				g.Panicked(r)
			}
		}()
		f()
	}()
	return true
}

// Enter counts work that the caller does itself, until it calls Leave. It reports false if
// the group is closed; then the caller does not call Leave.
func (g *Group) Enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.n++
	}
	return !g.closed
}

// Leave ends the work of a successful Enter.
func (g *Group) Leave() { g.done() }

func (g *Group) done() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n--
	if g.n == 0 && g.idle != nil {
		close(g.idle)
	}
}

// Wait closes the group and waits until all work has ended or ctx ends.
func (g *Group) Wait(ctx context.Context) error {
	g.mu.Lock()
	if g.idle == nil {
		g.idle = make(chan struct{})
		if g.n == 0 {
			close(g.idle)
		}
	}
	g.closed = true
	idle := g.idle
	g.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
