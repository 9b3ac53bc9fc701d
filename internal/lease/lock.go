package lease

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/locallock"
)

// Lock implements tusd.Locker.
func (l *Locker) Lock(ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
	if err := l.use(); err != nil {
		return nil, tusd.ErrLockServiceUnavailable.With(err)
	}
	if mode == tusd.LockWait {
		return l.lockWaiting(ctx, id)
	}
	return l.lock(ctx, id, mode)
}

// lockWaiting is Lock for LockWait. While it waits for another process, it lets every
// LockPreempt of this process go first, and starts again. It is still before later
// waiters: they are in waitQueue.
func (l *Locker) lockWaiting(ctx context.Context, id string) (tusd.Lease, error) {
	first, err := l.waitQueue.Lock(ctx, id, locallock.Wait)
	if err != nil {
		return nil, localError(ctx, err)
	}
	defer first.Unlock(ctx) // never fails
	for {
		s, err := l.lock(ctx, id, tusd.LockWait)
		if !errors.Is(err, tusd.ErrUploadLocked) {
			return s, err
		}
	}
}

// lock takes the lock within this process, and then the one of the service.
func (l *Locker) lock(ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
	local, err := l.local.Lock(ctx, id, locallock.Mode(mode))
	if err != nil {
		return nil, localError(ctx, err)
	}
	s := newLease(l, local, &Request{ID: id, Mode: mode, Token: rand.Text()})
	if err := l.acquire(ctx, s); err != nil {
		local.Unlock(ctx) // never fails
		return nil, err
	}
	return s, nil
}

// attempt is a request that tries to get its lock from the service.
type attempt struct {
	token     string
	woken     chan struct{} // capacity 1: the lock may be free
	preempted bool          // guarded by Locker.mu
}

// acquire tries until s has its lock. After an error nothing of s is left at the service,
// or will be as soon as it can be reached.
func (l *Locker) acquire(ctx context.Context, s *lease) error {
	a := l.startAttempt(s.request)
	defer l.endAttempt(s.request)
	var failing failure
	for {
		err := l.try(ctx, s, a)
		failing.note(err)
		pause := l.PollInterval
		switch {
		case err == nil:
			return nil
		case errors.Is(err, ErrHeld) && s.request.Mode == tusd.LockTry:
			return tusd.ErrUploadLocked
		case errors.Is(err, ErrHeld):
		case errors.Is(err, ErrOvertaken):
			if s.request.unanswered {
				l.releaseLater(s.request)
			}
			return tusd.ErrUploadLocked
		case errors.Is(err, ErrSettling):
			if s.request.Mode == tusd.LockTry && failing.lasts() >= l.Patience {
				return tusd.ErrLockServiceUnavailable.With(err)
			}
		default:
			s.request.unanswered = true
			if ctx.Err() == nil && max(failing.lasts(), l.outage.lasts()) >= l.Patience {
				l.releaseLater(s.request)
				return tusd.ErrLockServiceUnavailable.With(err)
			}
			pause = retryInterval
		}
		if err := l.pause(ctx, s, a, pause); err != nil {
			l.releaseLater(s.request)
			return failing.explain(ctx, err)
		}
	}
}

// failure is why a request does not get its lock although no other request has it.
type failure struct {
	err   error // nil: there is none
	since time.Time
}

// note notes the result of a Try.
func (f *failure) note(err error) {
	switch {
	case err == nil, errors.Is(err, ErrHeld):
		*f = failure{}
	case f.err == nil:
		*f = failure{err, time.Now()}
	case !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled):
		f.err = err // it tells more
	}
}

func (f *failure) lasts() time.Duration { return time.Since(f.since) }

// explain returns the error of a wait that ended with err. If the deadline of ctx has
// passed while the service failed, no other request is to blame.
func (f *failure) explain(ctx context.Context, err error) error {
	if f.err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return tusd.ErrLockServiceUnavailable.With(f.err)
	}
	return err
}

// pause waits until another Try is worth it.
func (l *Locker) pause(ctx context.Context, s *lease, a *attempt, d time.Duration) error {
	if s.request.Mode == tusd.LockWait && d == l.PollInterval {
		d /= 4 // no wish of it is at the service, so often nothing wakes it
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-a.woken:
		return nil
	case <-s.Preempted():
		return tusd.ErrUploadLocked // a newer request of this process
	case <-l.closing:
		return tusd.ErrLockServiceUnavailable.With(errClosed)
	case <-ctx.Done():
		return waitError(ctx)
	}
}

// try calls Service.Try once, and registers a grant.
func (l *Locker) try(ctx context.Context, s *lease, a *attempt) error {
	select {
	case <-a.woken: // by something that happened before
	default:
	}
	sent := time.Now()
	var grant Grant
	err := l.call(ctx, func(ctx context.Context) (err error) {
		grant, err = l.service.Try(ctx, s.request)
		return err
	})
	if err != nil {
		return err
	}
	if !grant.Since.IsZero() {
		sent = grant.Since
	}
	s.n, s.before = grant.N, grant.Before
	if !s.begin(ctx, sent) {
		return errSlow // the next Try meets its own lock
	}
	l.mu.Lock()
	closed := l.closed
	if !closed {
		l.held[s.request.ID] = s
	}
	preempted := a.preempted
	l.mu.Unlock()
	if closed { // nothing releases in the background any more
		s.lose(errClosed)
		l.releaseOnce(context.WithoutCancel(ctx), s.request) // after an error the lock expires
		return errClosed
	}
	if preempted {
		s.Lease.Preempt()
	}
	return nil
}

var errSlow = errors.New("the answer of the lock service came after the end of the lease")

func (l *Locker) startAttempt(r *Request) *attempt {
	a := &attempt{token: r.Token, woken: make(chan struct{}, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attempts[r.ID] = a
	return a
}

func (l *Locker) endAttempt(r *Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.attempts, r.ID)
}

// Preempt is called by a Service when a newer request, of another process, wants the lock
// that the request with this token holds. A request that does not exist here any more has
// left its lock behind: then it is released now.
func (l *Locker) Preempt(id, token string) {
	l.mu.Lock()
	s, a := l.held[id], l.attempts[id]
	holds := s != nil && s.request.Token == token
	if !holds && a != nil && a.token == token {
		a.preempted = true // its grant is on the way
	}
	l.mu.Unlock()
	if holds {
		s.Lease.Preempt()
		return
	}
	l.ReleaseLeftover(id, token)
}

// ReleaseLeftover is called by a Service that has a lock or a wish of this process for id.
// If the request with this token does not exist here any more, because a call for it was
// late, both are released.
func (l *Locker) ReleaseLeftover(id, token string) {
	l.mu.Lock()
	s, a := l.held[id], l.attempts[id]
	exists := s != nil && s.request.Token == token || a != nil && a.token == token
	l.mu.Unlock()
	if !exists {
		l.releaseFirst(&Request{ID: id, Token: token})
	}
}

// Wake is called by a Service when the lock of id may be free, or a newer request may have
// overtaken the one that waits.
func (l *Locker) Wake(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.attempts[id]; a != nil {
		select {
		case a.woken <- struct{}{}:
		default:
		}
	}
}

// WakeAll is called by a Service that may have missed something.
func (l *Locker) WakeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.attempts {
		select {
		case a.woken <- struct{}{}:
		default:
		}
	}
}

// localError translates an error of a lock within this process.
func localError(ctx context.Context, err error) error {
	if err == locallock.ErrLocked {
		return tusd.ErrUploadLocked
	}
	return waitError(ctx)
}

// waitError translates the end of the context of a wait.
func waitError(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return tusd.ErrLockTimeout.With(context.Cause(ctx))
	}
	return context.Cause(ctx)
}
