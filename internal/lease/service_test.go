package lease

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd"
)

// stub is a Service of functions; those that are nil succeed.
type stub struct {
	try        func(*Request) (Grant, error)
	releaseAll func() error
	released   chan *Request
}

func newStub() *stub { return &stub{released: make(chan *Request, 100)} }

func (s *stub) Try(_ context.Context, r *Request) (Grant, error) {
	if s.try != nil {
		return s.try(r)
	}
	return Grant{N: 1}, nil
}

func (s *stub) Release(_ context.Context, r *Request) error {
	s.released <- r
	return nil
}

func (s *stub) Renew(context.Context, []*Request) ([]*Request, error) { return nil, nil }

// sessionStub is a stub that can release everything by one call.
type sessionStub struct{ *stub }

func (s sessionStub) ReleaseAll(context.Context) error { return s.releaseAll() }

// on runs test in a bubble with a locker on service whose locks live 10 s.
func on(t *testing.T, service Service, settings Settings, test func(t *testing.T, l *Locker)) {
	synctest.Test(t, func(t *testing.T) {
		settings.Logger = slog.New(slog.DiscardHandler)
		l := New(service, settings)
		test(t, l)
		if err := l.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func mustLock(t *testing.T, l *Locker, id string) tusd.Lease {
	t.Helper()
	s, err := l.Lock(t.Context(), id, tusd.LockPreempt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A lock whose session was renewed a while ago ends with the session, not a time to live
// after the grant.
func TestGrantOfAnOldSession(t *testing.T) {
	service := newStub()
	service.try = func(*Request) (Grant, error) { return Grant{N: 1, Since: time.Now().Add(-5 * time.Second)}, nil }
	on(t, service, Settings{RenewInterval: time.Hour}, func(t *testing.T, l *Locker) {
		s := mustLock(t, l, "a")
		time.Sleep(3*time.Second - time.Nanosecond)
		if err := s.Context().Err(); err != nil {
			t.Errorf("lost before the margin: %v", err)
		}
		time.Sleep(time.Nanosecond)
		if s.Context().Err() == nil {
			t.Error("held within the margin before the end of the session")
		}
		s.Unlock(t.Context())
	})
}

// A grant whose answer came after the end of its lease is not released while the next
// call takes the same lock again: that would free a lock that is held.
func TestLateAnswer(t *testing.T) {
	service := newStub()
	var calls int
	service.try = func(*Request) (Grant, error) {
		if calls++; calls == 1 {
			return Grant{N: 1, Since: time.Now().Add(-9 * time.Second)}, nil
		}
		return Grant{N: 1}, nil
	}
	on(t, service, Settings{}, func(t *testing.T, l *Locker) {
		s := mustLock(t, l, "a")
		synctest.Wait()
		if calls != 2 || len(service.released) != 0 {
			t.Errorf("%d calls of Try, %d of Release; want 2 and 0", calls, len(service.released))
		}
		s.Unlock(t.Context())
	})
}

func TestCloseReleasesAll(t *testing.T) {
	service := sessionStub{newStub()}
	var calls int
	service.releaseAll = func() error { calls++; return nil }
	on(t, service, Settings{}, func(t *testing.T, l *Locker) {
		a, b := mustLock(t, l, "a"), mustLock(t, l, "b")
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if calls != 1 || len(service.released) != 0 {
			t.Errorf("%d calls of ReleaseAll, %d of Release; want 1 and 0", calls, len(service.released))
		}
		for _, s := range []tusd.Lease{a, b} {
			if s.Context().Err() == nil {
				t.Error("a lease is still held")
			}
		}
	})
}

// Only what belongs to no request is a leftover.
func TestReleaseLeftover(t *testing.T) {
	service := newStub()
	on(t, service, Settings{}, func(t *testing.T, l *Locker) {
		s := mustLock(t, l, "a")
		l.ReleaseLeftover("a", s.(*lease).request.Token)
		synctest.Wait()
		if len(service.released) != 0 {
			t.Error("a lock that is held was released")
		}
		l.ReleaseLeftover("a", "unknown")
		if r := <-service.released; r.ID != "a" || r.Token != "unknown" {
			t.Errorf("released %q of %q", r.Token, r.ID)
		}
		s.Unlock(t.Context())
	})
}
