package tusd

import (
	"context"
	"sync"
	"time"
)

// pacer lets calls of wait return at a limited rate. So that it does not sleep for every call,
// calls return up to paceBurst before they are due.
type pacer struct {
	interval time.Duration // per call; 0: no limit

	mu  sync.Mutex
	due time.Time // of the next call
}

const paceBurst = 10 * time.Millisecond

// newPacer returns a pacer for that many calls per second; negative: no limit.
func newPacer(rate int) *pacer {
	p := new(pacer)
	if rate > 0 {
		p.interval = time.Second / time.Duration(rate)
	}
	return p
}

// wait returns when the next call is due, or with the cause of ctx. Safe for concurrent
// use.
func (p *pacer) wait(ctx context.Context) error {
	if wait := p.next(time.Now()); wait > paceBurst {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return context.Cause(ctx)
}

// next returns how long the next call has to wait.
func (p *pacer) next(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.due.Before(now) {
		p.due = now
	}
	p.due = p.due.Add(p.interval)
	return p.due.Sub(now)
}
