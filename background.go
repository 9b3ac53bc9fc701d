package tusd

import (
	"context"
	"sync"
)

// Work that no request waits for.

// workGroup counts work in the background. Unlike sync.WaitGroup it can be
// waited for with a limit, and refuses new work after that.
type workGroup struct {
	mu     sync.Mutex
	n      int
	closed bool
	idle   chan struct{} // closed when closed and n == 0; made by wait

	panicked func(any) // told of a panic, which ends that work only; set before use
}

// start runs f in the background, unless the group is closed.
func (g *workGroup) start(f func()) bool {
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
				g.panicked(r)
			}
		}()
		f()
	}()
	return true
}

func (g *workGroup) done() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n--
	if g.n == 0 && g.idle != nil {
		close(g.idle)
	}
}

// wait closes the group and waits for what runs, until ctx ends.
func (g *workGroup) wait(ctx context.Context) error {
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

// inFlight makes work on one id happen once at a time. The zero value is
// ready to use.
type inFlight struct {
	mu  sync.Mutex
	ids map[string]chan struct{} // closed when the work is done; nil: nobody has asked
}

// enter claims id, and tells whether it was free.
func (f *inFlight) enter(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, taken := f.ids[id]; taken {
		return false
	}
	if f.ids == nil {
		f.ids = make(map[string]chan struct{})
	}
	f.ids[id] = nil
	return true
}

// leave gives id back, which enter had claimed.
func (f *inFlight) leave(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if done := f.ids[id]; done != nil {
		close(done)
	}
	delete(f.ids, id)
}

func (f *inFlight) busy(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, taken := f.ids[id]
	return taken
}

// len returns how many ids are claimed.
func (f *inFlight) len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.ids)
}

// done returns a channel that is closed when the work on id ends, or nil if
// there is none.
func (f *inFlight) done(id string) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	done, taken := f.ids[id]
	if taken && done == nil {
		done = make(chan struct{})
		f.ids[id] = done
	}
	return done
}
