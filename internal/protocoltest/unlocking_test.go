package protocoltest

import (
	"context"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/storetest"
)

// slowUnlocker has leases whose Unlock says so, and waits until proceed is closed.
type slowUnlocker struct {
	tusd.LocalLocker
	scope     tusd.Scope
	unlocking chan struct{}
	proceed   chan struct{}
}

func newSlowUnlocker(scope tusd.Scope) *slowUnlocker {
	return &slowUnlocker{scope: scope, unlocking: make(chan struct{}, 100), proceed: make(chan struct{})}
}

func (l *slowUnlocker) Scope() tusd.Scope { return l.scope }

func (l *slowUnlocker) Lock(ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
	lease, err := l.LocalLocker.Lock(ctx, id, mode)
	if err != nil {
		return nil, err
	}
	return slowLease{lease, l}, nil
}

type slowLease struct {
	tusd.Lease
	locker *slowUnlocker
}

func (s slowLease) Unlock(ctx context.Context) error {
	s.locker.unlocking <- struct{}{}
	<-s.locker.proceed
	return s.Lease.Unlock(ctx)
}

// The round trip to a lock service that releases a lease is beside the answer: it delays
// neither the answer nor begins after it. The next request waits for the lock.
func TestAnswerDoesNotWaitForUnlock(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol.name, func(t *testing.T) {
			runParallel(t)
			locker := newSlowUnlocker(tusd.ScopeLease)
			e := newEnvOn(t, storetest.NewMemory(), tusd.Config{})
			e.protocol = protocol
			e.config.StoreComposer.UseLocker(locker)
			e.start()
			u := e.create(100)
			await(t, locker.unlocking)
			next := make(chan *answer, 1)
			go func() { next <- e.another().patch(u, 0, content(100)) }()
			select {
			case a := <-next:
				t.Errorf("a PATCH got %d while the lock of its upload was not released", a.Status)
			case <-time.After(50 * time.Millisecond): // it cannot be seen that the request waits
			}
			close(locker.proceed)
			if a := <-next; a.Status != 204 {
				t.Errorf("a PATCH got %d after the lock was released, want 204", a.Status)
			}
		})
	}
}

// Shutdown returns when all locks are released, or with the cause of its context.
func TestShutdownWaitsForUnlock(t *testing.T) {
	runParallel(t)
	locker := newSlowUnlocker(tusd.ScopeLease)
	e := newEnvOn(t, storetest.NewMemory(), tusd.Config{})
	e.config.StoreComposer.UseLocker(locker)
	e.start()
	e.create(100)
	await(t, locker.unlocking)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.handler.Shutdown(ctx); err != context.Canceled {
		t.Errorf("Shutdown returns %v before the lock is released, want the cause of its context", err)
	}
	close(locker.proceed)
	if err := e.handler.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// A HEAD that runs across Shutdown, which does not wait for it, unlocks its lease.
func TestRequestUnlocksAfterShutdown(t *testing.T) {
	runParallel(t)
	locker := newSlowUnlocker(tusd.ScopeLease)
	close(locker.proceed)
	loading, proceed := make(chan struct{}), make(chan struct{})
	store := &hookedStore{concatStore: storetest.NewMemory(), onLoad: func(string) {
		close(loading)
		await(t, proceed)
	}}
	e := newEnvOn(t, store, tusd.Config{})
	e.config.StoreComposer.UseLocker(locker)
	e.start()
	u := e.create(100)
	await(t, locker.unlocking)
	running := make(chan *answer, 1)
	go func() { running <- e.another().head(u) }()
	await(t, loading)
	if err := e.handler.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if n := len(locker.unlocking); n != 0 {
		t.Errorf("%d leases are unlocked while the HEAD runs, want none", n)
	}
	close(proceed)
	(<-running).status(200)
	e.waitIdle()
	if n := len(locker.unlocking); n != 1 {
		t.Errorf("%d leases are unlocked after the HEAD, want 1", n)
	}
	lease, err := locker.LocalLocker.Lock(t.Context(), idOf(u), tusd.LockTry)
	if err != nil {
		t.Fatalf("the lock of the upload after the HEAD: %v", err)
	}
	lease.Unlock(t.Context())
}

// A lock that is released without a round trip is free when the client has its answer.
func TestLocalLockIsFreeWithTheAnswer(t *testing.T) {
	runParallel(t)
	locker := newSlowUnlocker(tusd.ScopeProcess)
	e := newEnvOn(t, storetest.NewMemory(), tusd.Config{})
	e.config.StoreComposer.UseLocker(locker)
	close(locker.proceed)
	e.start()
	for range 50 {
		lease, err := locker.LocalLocker.Lock(t.Context(), idOf(e.create(100)), tusd.LockTry)
		if err != nil {
			t.Fatalf("the lock of an upload whose creation is answered: %v", err)
		}
		lease.Unlock(t.Context())
	}
}
