//go:build linux

package consullocker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/lockservices"
)

// A Consul that was killed and starts again has everything. What was held is still held, or
// was lost before another process can have it, and the numbers grow.
func TestConsulRestarts(t *testing.T) {
	t.Parallel()
	server := lockservices.Consul(t)
	client := newClient(t, server.Addr())
	// longer than a restart, also on a loaded machine
	o := Options{TTL: 2 * time.Minute}
	a, b := newLocker(t, client, o), newLocker(t, client, o)
	held := lock(t, a, "held", tusd.LockPreempt)
	free := lock(t, a, "free", tusd.LockPreempt)
	n, _ := free.Fence()
	unlock(t, free)

	server.Restart()
	until(t, "the watch is back", func() bool { return tryLock(t, b, "other") == nil })
	if err := held.Context().Err(); err != nil {
		t.Errorf("the lease is lost: %v", context.Cause(held.Context()))
	}
	if err := tryLock(t, b, "held"); !errors.Is(err, tusd.ErrUploadLocked) {
		t.Errorf("a lock that is held: %v, want ErrUploadLocked", err)
	}
	again := lock(t, b, "free", tusd.LockTry)
	if m, before := again.Fence(); m <= n || before != n {
		t.Errorf("grant %d, before: %d, want more than %d and %d", m, before, n, n)
	}
	unlock(t, again)
	unlock(t, held)
}

// tryLock locks and unlocks id, or returns why it cannot.
func tryLock(tb testing.TB, l *ConsulLocker, id string) error {
	ctx, cancel := context.WithTimeout(tb.Context(), limit)
	defer cancel()
	lease, err := l.Lock(ctx, id, tusd.LockTry)
	if err != nil {
		return err
	}
	return lease.Unlock(ctx)
}

// A Consul that is set back to a snapshot has forgotten locks: their leases are lost.
func TestConsulSetBack(t *testing.T) {
	t.Parallel()
	client := newClient(t, lockservices.Consul(t).Addr())
	l := newLocker(t, client, Options{})
	old := lock(t, l, "old", tusd.LockPreempt)
	snapshot, _, err := client.Snapshot().Save(nil)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(snapshot)
	snapshot.Close()
	if err != nil {
		t.Fatal(err)
	}
	index := l.service.current().index.Load()
	until(t, "a heartbeat after the snapshot", func() bool { return l.service.current().index.Load() > index })
	forgotten := lock(t, l, "forgotten", tusd.LockPreempt)
	n, _ := forgotten.Fence()
	if err := client.Snapshot().Restore(nil, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	for _, lease := range []tusd.Lease{old, forgotten} {
		wantLost(t, lease)
		unlock(t, lease)
	}
	again := lock(t, l, "forgotten", tusd.LockPreempt)
	if m, _ := again.Fence(); m <= n {
		t.Errorf("grant %d follows grant %d", m, n)
	}
	unlock(t, again)
	unlock(t, lock(t, l, "old", tusd.LockPreempt))
}

// A Consul that has lost its data begins with small indices. The leases are lost, and the
// numbers still grow.
func TestConsulWithoutData(t *testing.T) {
	t.Parallel()
	server := lockservices.Consul(t)
	l := newLocker(t, newClient(t, server.Addr()), Options{})
	for i := range 100 { // so that indices are greater
		unlock(t, lock(t, l, fmt.Sprint(i), tusd.LockTry))
	}
	lease := lock(t, l, "a", tusd.LockPreempt)
	n, _ := lease.Fence()
	index := l.service.current().index.Load()
	server.Stop()
	server.Wipe()
	server.Start()
	wantLost(t, lease)
	unlock(t, lease)
	again := lock(t, l, "a", tusd.LockPreempt)
	if m, before := again.Fence(); m <= n || before != 0 {
		t.Errorf("grant %d, before: %d, want more than %d, and 0", m, before, n)
	}
	if now := l.service.current().index.Load(); now >= index {
		t.Errorf("index %d in the empty Consul, %d before: the test shows nothing", now, index)
	}
	unlock(t, again)
}
