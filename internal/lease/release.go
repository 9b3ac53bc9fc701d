package lease

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tus/tusd"
)

// forget removes a lease from those that are held.
func (l *Locker) forget(s *lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[s.request.ID] == s {
		delete(l.held, s.request.ID)
	}
}

// release releases the lock of s. If that fails, or would only wait for a service that is
// unreachable, it goes on in the background.
func (l *Locker) release(ctx context.Context, s *lease) error {
	switch {
	case s.lost.Load():
		l.releaseLater(s.request)
		return nil
	case l.outage.lasts() >= l.Patience:
		l.releaseLater(s.request)
		return tusd.ErrLockServiceUnavailable.With(errOutage)
	}
	err := l.releaseOnce(ctx, s.request)
	if err != nil {
		l.releaseLater(s.request)
	}
	return err
}

var errOutage = errors.New("the lock is released when the lock service answers again")

// releaseOnce calls Service.Release. A Try that got no answer may be carried out by the
// service afterwards, so it is called once more after a time to live.
func (l *Locker) releaseOnce(ctx context.Context, r *Request) error {
	err := l.call(ctx, func(ctx context.Context) error { return l.service.Release(ctx, r) })
	if err == nil && r.unanswered {
		again := &Request{ID: r.ID, Token: r.Token}
		time.AfterFunc(l.TTL, func() { l.releaseLater(again) })
	}
	return err
}

// maxReleases bounds the memory for releases during an outage. The service gives up most
// locks that are not released by itself; for the others see Preempt.
const maxReleases = 10_000

// releaseLater makes the release loop remove everything of r from the service.
func (l *Locker) releaseLater(r *Request) {
	l.mu.Lock()
	if len(l.releases) < maxReleases {
		l.releases = append(l.releases, r)
	}
	l.mu.Unlock()
	l.wakeReleases()
}

// releaseFirst is releaseLater for a request that keeps another one waiting.
func (l *Locker) releaseFirst(r *Request) {
	l.mu.Lock()
	l.releases = slices.Insert(l.releases, 0, r)
	l.mu.Unlock()
	l.wakeReleases()
}

func (l *Locker) wakeReleases() {
	select {
	case l.wakes <- struct{}{}:
	default:
	}
}

// releaseLoop releases in the background, one after another, and tries again while the
// service is unreachable.
func (l *Locker) releaseLoop() {
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-l.closing:
			return
		case <-l.wakes:
		case <-retry.C:
		}
		if err := l.releaseAll(context.Background(), l.closing); err != nil {
			retry.Reset(4 * retryInterval)
		}
	}
}

// releaseAll releases until nothing is left to release, the service does not answer, or
// stop is closed.
func (l *Locker) releaseAll(ctx context.Context, stop <-chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		r := l.nextRelease()
		if r == nil {
			return nil
		}
		if err := l.releaseOnce(ctx, r); err != nil {
			l.mu.Lock()
			l.releases = append(l.releases, r)
			l.mu.Unlock()
			return err
		}
		l.Wake(r.ID) // a request of this process may wait for it
	}
}

// nextRelease takes a request that is to be released; nil: there is none.
func (l *Locker) nextRelease() *Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.releases) == 0 {
		l.releases = nil
		return nil
	}
	r := l.releases[0]
	l.releases = l.releases[1:]
	return r
}
