package lease

import (
	"log/slog"
	"sync"
	"time"
)

const (
	// outageAfter is how long calls must have failed, without one that succeeded, before
	// an outage is logged.
	outageAfter = 500 * time.Millisecond
	// steadyAfter is how long no call must fail before the end of an outage is logged: an
	// overloaded service answers now and then.
	steadyAfter = 10 * time.Second
)

// outage logs one line when a service is unreachable, and one when it is back, however
// many requests fail.
type outage struct {
	log     *slog.Logger
	service string

	mu      sync.Mutex
	failing time.Time // since the first call that failed after one that got an answer; zero: the last one got one
	begun   time.Time // of the outage that is logged; zero: there is none
	back    time.Time // in an outage: since when calls get answers; zero: the last one got none
}

// failed notes that a call got no answer.
func (o *outage) failed(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	if o.failing.IsZero() {
		o.failing = now
	}
	o.back = time.Time{}
	if o.begun.IsZero() && now.Sub(o.failing) >= outageAfter {
		o.begun = o.failing
		o.log.Error("the lock service is unreachable, or refuses this server: requests that need a lock fail until it answers", "service", o.service, "err", err)
	}
}

// answered notes that a call got an answer.
func (o *outage) answered() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failing = time.Time{}
	if o.begun.IsZero() {
		return
	}
	now := time.Now()
	if o.back.IsZero() {
		o.back = now
	}
	if now.Sub(o.back) >= steadyAfter {
		o.log.Info("the lock service answers again", "service", o.service, "outage", o.back.Sub(o.begun).Round(time.Millisecond))
		o.begun, o.back = time.Time{}, time.Time{}
	}
}

// lasts returns for how long calls have got no answer, 0 if the last one got one.
func (o *outage) lasts() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failing.IsZero() {
		return 0
	}
	return time.Since(o.failing)
}

// unreachable reports whether the last call got no answer.
func (o *outage) unreachable() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.failing.IsZero()
}
