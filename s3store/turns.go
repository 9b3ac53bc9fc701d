package s3store

import (
	"context"
	"sync"
)

// turns are taken by who does something that must not be done twice at the
// same time, by its name. The zero value is ready to use.
type turns struct {
	mu    sync.Mutex
	taken map[string]chan struct{} // closed when the turn is over
}

// take waits for the turn of name, and tells whether somebody else had it
// meanwhile. The caller calls done.
func (t *turns) take(ctx context.Context, name string) (waited bool, done func(), err error) {
	for {
		over := t.try(name)
		if over == nil {
			return waited, func() { t.end(name) }, nil
		}
		waited = true
		select {
		case <-over:
		case <-ctx.Done():
			return waited, nil, context.Cause(ctx)
		}
	}
}

// try takes the turn of name, or returns what tells that it is over.
func (t *turns) try(name string) (over <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if over, ok := t.taken[name]; ok {
		return over
	}
	if t.taken == nil {
		t.taken = make(map[string]chan struct{})
	}
	t.taken[name] = make(chan struct{})
	return nil
}

func (t *turns) end(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.taken[name])
	delete(t.taken, name)
}
