package s3server

import (
	"slices"
	"sync"
	"time"
)

// Rule gives an outcome to the calls that it matches. Pass its Decide to
// Server.Fault; Together combines several.
type Rule struct {
	match       func(Call) bool
	first, last int // of the matching calls, from 1; last 0: no last
	outcome     Outcome

	mu      sync.Mutex
	matched int
	fired   int
	reached chan struct{}
}

// Match selects calls.
type Match func(Call) bool

// On selects the calls of some operations; none means all.
func On(operations ...Operation) Match {
	return func(c Call) bool { return len(operations) == 0 || slices.Contains(operations, c.Operation) }
}

// And selects the calls that other selects, too.
func (m Match) And(other func(Call) bool) Match {
	return func(c Call) bool { return m(c) && other(c) }
}

// Always gives the outcome o to every call.
func (m Match) Always(o Outcome) *Rule { return m.rule(1, 0, o) }

// Nth gives the outcome o only to the n-th call from now on, counted from 1.
func (m Match) Nth(n int, o Outcome) *Rule { return m.rule(n, n, o) }

// First gives the outcome o to the first n calls from now on.
func (m Match) First(n int, o Outcome) *Rule { return m.rule(1, n, o) }

// From gives the outcome o to the n-th call from now on and all after it.
func (m Match) From(n int, o Outcome) *Rule { return m.rule(n, 0, o) }

func (m Match) rule(first, last int, o Outcome) *Rule {
	return &Rule{match: m, first: first, last: last, outcome: o, reached: make(chan struct{})}
}

// Decide returns the outcome of a call.
func (r *Rule) Decide(c Call) Outcome {
	if !r.match(c) {
		return Outcome{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.matched++
	if r.matched < r.first || r.last != 0 && r.matched > r.last {
		return Outcome{}
	}
	r.fired++
	if r.fired == 1 {
		close(r.reached)
	}
	return r.outcome
}

// Fired returns how many calls got the outcome.
func (r *Rule) Fired() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fired
}

// Reached is closed when the first call gets the outcome.
func (r *Rule) Reached() <-chan struct{} { return r.reached }

// Latency delays every call by d.
func Latency(d time.Duration) func(Call) Outcome { return On().Always(Delay(d)).Decide }

// Together asks all deciders about each call. Delays are added; of the other
// outcomes the first that is not plain success counts.
func Together(deciders ...func(Call) Outcome) func(Call) Outcome {
	return func(c Call) Outcome {
		var joined Outcome
		for _, decide := range deciders {
			joined = joined.join(decide(c))
		}
		return joined
	}
}

func (o Outcome) join(other Outcome) Outcome {
	delay := o.Delay + other.Delay
	if o.succeeds() && o.Until == nil && o.Hold == nil {
		o = other
	}
	o.Delay = delay
	return o
}
