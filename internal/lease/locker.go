package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/locallock"
)

// Settings of a Locker. The zero value of each but Service means its default.
type Settings struct {
	// Service names the service in the log and in errors, like "Redis at host:6379".
	Service string
	// TTL is the time to live of a lock without renewal; 0: 10 s.
	TTL time.Duration
	// Margin is how long before the end of its TTL a lease is lost here; 0: a fifth of TTL.
	Margin time.Duration
	// RenewInterval is the time between renewals; 0: a quarter of TTL.
	RenewInterval time.Duration
	// PollInterval is the time after which a waiting request tries again if the service did
	// not wake it; 0: 2 s.
	PollInterval time.Duration
	// CallTimeout bounds each call of the service; 0: a fifth of TTL.
	CallTimeout time.Duration
	// Patience is how long a request tries again after the service became unreachable, and
	// how long a LockTry does while the service settles. In a longer outage requests try
	// once; 0: 3 s.
	Patience time.Duration
	// Logger gets a line when the service is unreachable, and when it is back;
	// nil: slog.Default.
	Logger *slog.Logger
}

// retryInterval is the time between two calls of a service that is unreachable.
const retryInterval = 250 * time.Millisecond

func (s Settings) withDefaults() Settings {
	s.TTL = cmp.Or(s.TTL, 10*time.Second)
	s.Margin = cmp.Or(s.Margin, s.TTL/5)
	s.RenewInterval = cmp.Or(s.RenewInterval, s.TTL/4)
	s.PollInterval = cmp.Or(s.PollInterval, 2*time.Second)
	s.CallTimeout = cmp.Or(s.CallTimeout, s.TTL/5)
	s.Patience = cmp.Or(s.Patience, 3*time.Second)
	if s.Logger == nil {
		s.Logger = slog.Default()
	}
	return s
}

// Locker is a tusd.Locker on a Service. Safe for concurrent use.
type Locker struct {
	service Service
	Settings
	outage outage
	counts counts

	local     locallock.Locker // orders the requests of this process
	waitQueue locallock.Locker // orders the LockWait requests, before local

	closing chan struct{} // closed by Close
	wakes   chan struct{} // capacity 1: there is something to release
	loops   sync.WaitGroup

	mu       sync.Mutex
	started  bool                // the loops run
	closed   bool                //
	held     map[string]*lease   // by id, until Unlock
	attempts map[string]*attempt // by id; the local lock lets only one request of an id try
	releases []*Request          // to be released in the background
}

// counts is what Stats returns, as it grows.
type counts struct {
	calls, failures, lost atomic.Uint64
}

// Stats is what a Locker does at the moment, and has done since it was made.
type Stats struct {
	Held        int    // leases that are held
	Waiting     int    // requests that wait for a lock of another process
	Calls       uint64 // calls of the service
	Failures    uint64 // calls that failed
	Lost        uint64 // leases that were lost
	Unreachable bool   // the service did not answer the last call
}

var errClosed = errors.New("the locker is closed")

// New returns a Locker on service. It calls the service when the first lock is requested.
func New(service Service, settings Settings) *Locker {
	l := &Locker{
		service: service, Settings: settings.withDefaults(),
		closing: make(chan struct{}), wakes: make(chan struct{}, 1),
		held: make(map[string]*lease), attempts: make(map[string]*attempt),
	}
	l.local.NoFences, l.waitQueue.NoFences = true, true // the service numbers the grants
	l.outage.log, l.outage.service = l.Logger, l.Service
	return l
}

// Scope is tusd.ScopeLease.
func (l *Locker) Scope() tusd.Scope { return tusd.ScopeLease }

// Stats returns the present state of l.
func (l *Locker) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Stats{
		Held: len(l.held), Waiting: len(l.attempts), Unreachable: l.outage.unreachable(),
		Calls: l.counts.calls.Load(), Failures: l.counts.failures.Load(), Lost: l.counts.lost.Load(),
	}
}

// Close makes every further Lock fail, and ends the renewals. Leases that are still held
// are lost, and are released. It waits for releases that are under way until ctx ends, and
// for calls in the background until their timeout.
func (l *Locker) Close(ctx context.Context) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	var held []*Request
	for _, s := range l.held {
		s.lose(errClosed)
		held = append(held, s.request)
	}
	l.mu.Unlock()
	close(l.closing)
	l.loops.Wait()
	if service, ok := l.service.(AllReleaser); ok {
		return l.call(ctx, service.ReleaseAll)
	}
	l.mu.Lock()
	l.releases = append(l.releases, held...)
	l.mu.Unlock()
	return l.releaseAll(ctx, nil)
}

// use starts the loops at the first call.
func (l *Locker) use() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return fmt.Errorf("lock at %s: %w", l.Service, errClosed)
	}
	if !l.started {
		l.started = true
		l.loops.Go(l.renewLoop)
		l.loops.Go(l.releaseLoop)
	}
	return nil
}

// call calls the service once, in at most CallTimeout, and notes whether it answered.
// result is the error that is the service's answer, nil if it did not answer. If ctx
// itself ends, that says nothing about the service.
func (l *Locker) call(ctx context.Context, f func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, l.CallTimeout)
	defer cancel()
	l.counts.calls.Add(1)
	err := f(limited)
	switch {
	case errors.Is(err, ErrNotCalled):
		return nil
	case err == nil, errors.Is(err, ErrHeld), errors.Is(err, ErrOvertaken), errors.Is(err, ErrSettling):
		l.outage.answered()
	case ctx.Err() == nil:
		l.counts.failures.Add(1)
		l.outage.failed(err)
	}
	return err
}
