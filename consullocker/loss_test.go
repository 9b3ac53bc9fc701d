//go:build linux

package consullocker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/tus/tusd"
)

// limit bounds waits for what is expected. It is long, for loaded machines.
const limit = 60 * time.Second

// lock locks id, which must succeed.
func lock(tb testing.TB, l *ConsulLocker, id string, mode tusd.LockMode) tusd.Lease {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), limit)
	defer cancel()
	lease, err := l.Lock(ctx, id, mode)
	if err != nil {
		tb.Fatalf("lock %s: %v", id, err)
	}
	return lease
}

func unlock(tb testing.TB, lease tusd.Lease) {
	tb.Helper()
	if err := lease.Unlock(tb.Context()); err != nil {
		tb.Fatalf("unlock: %v", err)
	}
}

// wantLost waits until a lease is lost.
func wantLost(tb testing.TB, lease tusd.Lease) {
	tb.Helper()
	select {
	case <-lease.Context().Done():
		if cause := context.Cause(lease.Context()); !errors.Is(cause, tusd.ErrLockLost) {
			tb.Fatalf("the lease ended: %v, want ErrLockLost", cause)
		}
	case <-time.After(limit):
		tb.Fatal("the lease is not lost")
	}
}

// until polls until condition is true.
func until(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(limit); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// If the key of the process is gone, all of its leases are lost, and it goes on under a new
// name.
func testProcessGone(t *testing.T, address string) {
	l := newLocker(t, newClient(t, address), Options{Prefix: prefix(t)})
	var leases []tusd.Lease
	for i := range 5 {
		leases = append(leases, lock(t, l, fmt.Sprint(i), tusd.LockPreempt))
	}
	first := l.service.current().name
	end(t, l)
	for _, lease := range leases {
		wantLost(t, lease)
		unlock(t, lease)
	}
	again := lock(t, l, "0", tusd.LockPreempt)
	if name := l.service.current().name; name == first {
		t.Errorf("the process still has the name %s", name)
	}
	before := l.service.current().index.Load()
	until(t, "a heartbeat of the new process", func() bool { return l.service.current().index.Load() > before })
	if err := again.Context().Err(); err != nil {
		t.Errorf("the lease of the new process: %v", err)
	}
	unlock(t, again)
}

// A heartbeat that was sent before another process took the lock, and arrives afterwards,
// makes no lease valid.
func testLateHeartbeat(t *testing.T, address string) {
	shared := prefix(t)
	network, client := newRecorder(t, address)
	a := newLocker(t, client, Options{Prefix: shared})
	b := newLocker(t, newClient(t, address), Options{Prefix: shared})
	lease := lock(t, a, "a", tusd.LockPreempt)
	name := a.service.current().name

	taken := make(chan struct{})
	wait := func() error { <-taken; return nil }
	network.before.Store(&wait)
	next := lock(t, b, "a", tusd.LockPreempt)
	if lease.Context().Err() == nil {
		t.Error("another process has the lock, and the lease of the holder is not lost")
	}
	close(taken)
	until(t, "the holder learns that it is gone", func() bool { p := a.service.current(); return p == nil || p.name != name })
	wantLost(t, lease)
	unlock(t, lease)
	if _, err := a.Lock(t.Context(), "a", tusd.LockTry); !errors.Is(err, tusd.ErrUploadLocked) {
		t.Errorf("the lock of the other process: %v, want ErrUploadLocked", err)
	}
	unlock(t, next)
}

// Heartbeats may fail: a lease is lost only if none succeeds for a time to live.
func testFailedHeartbeats(t *testing.T, address string) {
	network, client := newRecorder(t, address)
	l := newLocker(t, client, Options{Prefix: prefix(t), TTL: 4 * time.Second})
	lease := lock(t, l, "a", tusd.LockPreempt)
	failEverySecond := func() error {
		if network.heartbeats.Load()%2 == 0 {
			return errors.New("the network fails")
		}
		return nil
	}
	network.before.Store(&failEverySecond)
	until(t, "ten heartbeats", func() bool { return network.heartbeats.Load() >= 10 })
	if err := lease.Context().Err(); err != nil {
		t.Errorf("the lease is lost: %v", context.Cause(lease.Context()))
	}
	if lost := l.Stats().Lost; lost != 0 {
		t.Errorf("%d leases are lost", lost)
	}
	unlock(t, lease)
}

// A killed holder's lock goes to the process that needs it, which knows its grant. The keys
// of locks that are not needed are removed, too.
func testKilledHolder(t *testing.T, address string) {
	shared := prefix(t)
	client := newClient(t, address)
	l := newLocker(t, client, Options{Prefix: shared})
	holder := start(t, address, shared)
	holder.lock("a")
	holder.lock("b/c")
	pair, _, err := client.KV().Get(l.service.keys.lock("a"), nil)
	if err != nil || pair == nil {
		t.Fatalf("the lock of the child: %v, %v", pair, err)
	}
	holder.kill()
	lease := lock(t, l, "a", tusd.LockWait)
	if n, before := lease.Fence(); before != l.service.current().epoch+pair.ModifyIndex {
		t.Errorf("grant %d, before: %d; the child was granted by index %d", n, before, pair.ModifyIndex)
	}
	unlock(t, lease)
	until(t, "no lock is left", func() bool { return len(list(t, client, l.service.keys.locks())) == 0 })
	if processes := list(t, client, l.service.keys.processes()); len(processes) != 1 {
		t.Errorf("processes: %q, want this one only", processes)
	}
}

// list returns the keys below a prefix.
func list(tb testing.TB, client *api.Client, prefix string) []string {
	tb.Helper()
	found, _, err := client.KV().Keys(prefix, "", nil)
	if err != nil {
		tb.Fatal(err)
	}
	return found
}

// Close releases everything at once.
func testClose(t *testing.T, address string) {
	shared := prefix(t)
	client := newClient(t, address)
	a := newLocker(t, client, Options{Prefix: shared, TTL: time.Hour})
	b := newLocker(t, client, Options{Prefix: shared, TTL: time.Hour})
	var leases []tusd.Lease
	for i := range 3 {
		leases = append(leases, lock(t, a, fmt.Sprint(i), tusd.LockPreempt))
	}
	waiting := make(chan tusd.Lease)
	go func() { waiting <- lock(t, b, "0", tusd.LockPreempt) }()
	<-leases[0].Preempted()
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, lease := range leases {
		wantLost(t, lease)
		unlock(t, lease)
	}
	unlock(t, <-waiting)
	for i := range 3 {
		unlock(t, lock(t, b, fmt.Sprint(i), tusd.LockTry))
	}
	if _, err := a.Lock(t.Context(), "0", tusd.LockTry); !errors.Is(err, tusd.ErrLockServiceUnavailable) {
		t.Errorf("Lock after Close: %v", err)
	}
}
