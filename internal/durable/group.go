package durable

import (
	"errors"
	"sync"
)

// maxFlights is how many runs of one action go on at the same time. One alone
// would keep all who come while it is under way from the journal's next commit,
// which has begun when it returns. With many, each has a call of its own.
const maxFlights = 2

// group lets concurrent callers of one slow action share it. An action that
// runs already may have missed what a caller did just before it called, so who
// arrives meanwhile shares a later run, never a current one.
type group struct {
	mu     sync.Mutex
	queues map[string]*queue
}

type queue struct {
	running int
	next    *flight // nil: nobody waits yet
}

type flight struct {
	start chan struct{} // closed when it may begin
	done  chan struct{}
	err   error // set before done is closed
}

// errNoEnd is what those get who share a run that has panicked.
var errNoEnd = errors.New("the run that was shared did not come to its end")

// do returns the result of a run for key that began after do was called.
func (g *group) do(key string, run func() error) error {
	g.mu.Lock()
	q := g.queues[key]
	if q == nil {
		if g.queues == nil {
			g.queues = make(map[string]*queue)
		}
		q = new(queue)
		g.queues[key] = q
	}
	if q.running < maxFlights {
		q.running++
		g.mu.Unlock()
		defer g.land(key, q)
		return run()
	}
	if q.next != nil {
		shared := q.next
		g.mu.Unlock()
		<-shared.done
		return shared.err
	}
	own := &flight{start: make(chan struct{}), done: make(chan struct{}), err: errNoEnd}
	q.next = own
	g.mu.Unlock()
	<-own.start
	defer g.land(key, q)
	defer close(own.done)
	own.err = run()
	return own.err
}

// land ends a run and lets the next one begin.
func (g *group) land(key string, q *queue) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case q.next != nil:
		close(q.next.start)
		q.next = nil
	case q.running == 1:
		delete(g.queues, key)
	default:
		q.running--
	}
}
