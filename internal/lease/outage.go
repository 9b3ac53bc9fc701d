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
)

// outage logs one line when a service is out of reach, and one when it is back, however
// many requests fail.
type outage struct {
	log     *slog.Logger
	service string

	mu     sync.Mutex
	since  time.Time // of the first call that failed; zero: the last call succeeded
	logged bool
}

// failed notes that a call got no answer.
func (o *outage) failed(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	if o.since.IsZero() {
		o.since = now
	}
	if !o.logged && now.Sub(o.since) >= outageAfter {
		o.logged = true
		o.log.Error("the lock service is out of reach: requests that need a lock fail until it is back", "service", o.service, "err", err)
	}
}

// end notes that a call got an answer.
func (o *outage) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		return
	}
	if o.logged {
		o.log.Info("the lock service is in reach again", "service", o.service, "outage", time.Since(o.since).Round(time.Millisecond))
	}
	o.since, o.logged = time.Time{}, false
}

// outOfReach reports whether the last call got no answer.
func (o *outage) outOfReach() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.since.IsZero()
}

// lasts returns how long calls have got no answer, 0 if the last one got one.
func (o *outage) lasts() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		return 0
	}
	return time.Since(o.since)
}
