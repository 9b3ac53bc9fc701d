package protocoltest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/storetest"
)

// outage is a lock service that cannot be reached, and counts the attempts on each id.
type outage struct {
	tusd.LocalLocker

	mu       sync.Mutex
	over     bool
	attempts map[string]int
}

func (*outage) Scope() tusd.Scope { return tusd.ScopeLease }

func (l *outage) Lock(ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
	l.mu.Lock()
	l.attempts[id]++
	over := l.over
	l.mu.Unlock()
	if !over {
		return nil, tusd.ErrLockServiceUnavailable.With(errSecret)
	}
	return l.LocalLocker.Lock(ctx, id, mode)
}

func (l *outage) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
}

// tried reports whether each id was tried at least n times.
func (l *outage) tried(n int, ids ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		if l.attempts[id] < n {
			return false
		}
	}
	return true
}

// Work in the background has no lines for an outage of the lock service, however many
// uploads it concerns, and goes on when the outage is over.
func TestBackgroundWorkInALockOutage(t *testing.T) {
	runParallel(t)
	store := storetest.NewMemory()
	first := newEnvOn(t, store, tusd.Config{})
	first.config.Callbacks.PreFinish = func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
		return tusd.HTTPResponse{}, errSecret
	}
	first.start()
	partial := first.post("Upload-Length: 2", "Upload-Concat: partial").status(201).location()
	final := first.post("Upload-Concat: final;" + partial).status(201).location()
	first.patch(partial, 0, []byte("ab")).status(204)
	uploads := []string{final}
	for range 5 {
		u := first.create(5)
		first.patch(u, 0, []byte("hello")).status(503)
		uploads = append(uploads, u)
	}
	var removals []string
	for range 3 {
		gone := first.create(10)
		leaveRemoval(t, store, recordOf(t, store, gone), time.Now().Add(-time.Hour))
		removeFromStore(t, store, gone)
		removals = append(removals, gone)
	}
	old := first.create(10)
	first.stop()

	locker := &outage{attempts: make(map[string]int)}
	events := new(sink)
	e := newEnvOn(t, store, tusd.Config{Events: events}, rescanEvery(20*time.Millisecond), setBuilders(10, 10, 20*time.Millisecond))
	e.config.StoreComposer.UseLocker(locker)
	e.start()
	var ids []string
	for _, u := range uploads {
		ids = append(ids, idOf(u))
	}
	e.eventually("each upload was tried several times", func() bool { return locker.tried(3, ids...) })
	e.ahead.Store(int64(2 * time.Hour))
	summary, err := e.handler.Sweep(t.Context(), ages(time.Hour, sweptClasses...))
	if !errors.Is(err, tusd.ErrLockServiceUnavailable) || summary.Failed != 0 {
		t.Errorf("a sweep without a lock service has failed at %d uploads and ends with %v", summary.Failed, err)
	}
	if lines := e.warnings.all(); len(lines) > 0 {
		t.Errorf("the outage has %d lines: %q", len(lines), lines)
	}
	e.ahead.Store(0)
	locker.end()
	for _, u := range uploads {
		e.eventually("the upload is finished", func() bool { return e.head(u).status(200, 423).Status == 200 })
	}
	e.eventually("the removals are told", func() bool { return events.count(tusd.EventPostExpire) == len(removals) })
	e.wantOffset(old, 0)
}
