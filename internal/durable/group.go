package durable

import "sync"

// group lets concurrent callers share one slow action. A running action may have
// missed what a caller did just before its call, so later callers share the next run,
// never the current one.
type group struct {
	mu     sync.Mutex
	queues map[string]*queue
}

type queue struct {
	running *flight
	next    *flight // nil: no caller waits
}

type flight struct {
	done chan struct{}
	err  error // set before done is closed
}

// do returns the result of a run for key that began after do was called.
func (g *group) do(key string, run func() error) error {
	g.mu.Lock()
	q := g.queues[key]
	if q == nil {
		if g.queues == nil {
			g.queues = make(map[string]*queue)
		}
		own := newFlight()
		g.queues[key] = &queue{running: own}
		g.mu.Unlock()
		return g.fly(key, own, run)
	}
	if q.next != nil {
		shared := q.next
		g.mu.Unlock()
		<-shared.done
		return shared.err
	}
	own, ahead := newFlight(), q.running
	q.next = own
	g.mu.Unlock()
	<-ahead.done
	return g.fly(key, own, run)
}

// fly runs own, the current flight of key, and then starts the next one.
func (g *group) fly(key string, own *flight, run func() error) error {
	own.err = run()
	g.mu.Lock()
	q := g.queues[key]
	if q.next != nil {
		q.running, q.next = q.next, nil
	} else {
		delete(g.queues, key)
	}
	g.mu.Unlock()
	close(own.done)
	return own.err
}

func newFlight() *flight { return &flight{done: make(chan struct{})} }
