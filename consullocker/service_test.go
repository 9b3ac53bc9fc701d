//go:build linux

package consullocker

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/lease"
)

// try calls Try, which must return want.
func try(tb testing.TB, l *ConsulLocker, r *lease.Request, want error) lease.Grant {
	tb.Helper()
	grant, err := l.service.Try(tb.Context(), r)
	if !errors.Is(err, want) {
		tb.Fatalf("try of %s: %v, want %v", r.Token, err, want)
	}
	return grant
}

func release(tb testing.TB, l *ConsulLocker, r *lease.Request) {
	tb.Helper()
	if err := l.service.Release(tb.Context(), r); err != nil {
		tb.Fatal(err)
	}
}

func preempt(token string) *lease.Request { return &lease.Request{ID: "a", Token: token} }

// The newest LockPreempt goes first, also if an older one asks again, and also if the newer
// one never had to wait. A grant is returned again to its request.
func testOrderOfWishes(t *testing.T, address string) {
	shared := prefix(t)
	client := newClient(t, address)
	o := Options{Prefix: shared, TTL: time.Hour}
	a, b, c := newLocker(t, client, o), newLocker(t, client, o), newLocker(t, client, o)
	holder, first, second, third := preempt("holder"), preempt("first"), preempt("second"), preempt("third")
	waiter := &lease.Request{ID: "a", Token: "waiter", Mode: tusd.LockWait}

	granted := try(t, a, holder, nil)
	if again := try(t, a, holder, nil); again.N != granted.N {
		t.Errorf("grant %d, and %d when it was asked again", granted.N, again.N)
	}
	try(t, b, first, lease.ErrHeld)
	try(t, c, second, lease.ErrHeld)
	try(t, b, first, lease.ErrOvertaken)
	try(t, c, second, lease.ErrHeld)
	release(t, b, first)
	release(t, a, holder)
	try(t, b, waiter, lease.ErrHeld) // free, but a LockPreempt waits
	next := try(t, c, second, nil)
	if next.Before != granted.N || next.N <= granted.N {
		t.Errorf("grants %+v, then %+v", granted, next)
	}
	try(t, b, first, lease.ErrOvertaken) // by the holder
	deleteKey(t, a, a.service.keys.last("a"))
	try(t, b, first, lease.ErrOvertaken)

	old := preempt("old")
	try(t, b, old, lease.ErrHeld)
	release(t, c, second)
	try(t, a, third, nil) // it never waits
	try(t, b, old, lease.ErrOvertaken)
	release(t, a, third)
	try(t, b, old, lease.ErrOvertaken)
	release(t, b, old)
	try(t, b, waiter, nil)
	release(t, b, waiter)
}

// Wishes that were removed have the same order when they are registered again.
func testWishesThatWereRemoved(t *testing.T, address string) {
	client, o := newClient(t, address), Options{Prefix: prefix(t), TTL: time.Hour}
	l := newLocker(t, client, o)
	holder, first, second := preempt("holder"), preempt("first"), preempt("second")
	try(t, newLocker(t, client, o), holder, nil)
	try(t, l, first, lease.ErrHeld)
	try(t, l, second, lease.ErrHeld)
	deleteKey(t, l, l.service.keys.wish("a"))
	try(t, l, first, lease.ErrHeld)
	try(t, l, second, lease.ErrHeld)
	try(t, l, first, lease.ErrOvertaken)
}

func deleteKey(tb testing.TB, l *ConsulLocker, key string) {
	tb.Helper()
	if _, err := l.service.client.KV().Delete(key, nil); err != nil {
		tb.Fatal(err)
	}
}

// A release of what is not held does nothing.
func testReleaseOfNotHeld(t *testing.T, address string) {
	client, o := newClient(t, address), Options{Prefix: prefix(t), TTL: time.Hour}
	l, holders, other := newLocker(t, client, o), newLocker(t, client, o), newLocker(t, client, o)
	release(t, l, preempt("never"))
	holder, wish := preempt("holder"), preempt("wish")
	try(t, holders, holder, nil)
	release(t, l, preempt("other"))
	try(t, l, wish, lease.ErrHeld)
	release(t, l, preempt("other"))
	try(t, other, preempt("newest"), lease.ErrHeld)
	try(t, l, wish, lease.ErrOvertaken)
	release(t, l, wish) // its wish was replaced
	release(t, holders, holder)
	release(t, holders, holder)
	try(t, l, &lease.Request{ID: "a", Token: "try", Mode: tusd.LockTry}, lease.ErrHeld) // the newest waits
}

// A lock of this process that no request of it knows is released when another process
// needs it.
func testLeftoverIsReleased(t *testing.T, address string) {
	shared := prefix(t)
	client := newClient(t, address)
	o := Options{Prefix: shared, TTL: time.Hour}
	a, b := newLocker(t, client, o), newLocker(t, client, o)
	unlock(t, lock(t, a, "other", tusd.LockTry)) // starts its loops
	try(t, a, preempt("leftover"), nil)
	unlock(t, lock(t, b, "a", tusd.LockPreempt))
}

// A lock or a wish of an earlier request of this process does not stop the next one: within a
// process the engine lets one request of an id reach Consul, so the earlier one was late.
func testOwnLeftovers(t *testing.T, address string) {
	client, o := newClient(t, address), Options{Prefix: prefix(t), TTL: time.Hour}
	a, b := newLocker(t, client, o), newLocker(t, client, o)
	try(t, a, preempt("late"), nil)
	lateGrant := try(t, a, &lease.Request{ID: "a", Token: "try", Mode: tusd.LockTry}, nil)
	try(t, b, preempt("late wish"), lease.ErrHeld)
	try(t, b, &lease.Request{ID: "a", Token: "another", Mode: tusd.LockTry}, lease.ErrHeld)
	release(t, a, &lease.Request{ID: "a", Token: "try"})
	next := try(t, b, &lease.Request{ID: "a", Token: "wait", Mode: tusd.LockWait}, nil)
	if next.N <= lateGrant.N || next.Before != lateGrant.N {
		t.Errorf("grant %+v follows %+v", next, lateGrant)
	}
}

// Ids that differ have different locks, also if one begins with the other.
func testIDs(t *testing.T, address string) {
	l := newLocker(t, newClient(t, address), Options{Prefix: prefix(t), TTL: time.Hour})
	var leases []tusd.Lease
	for _, id := range []string{"a", "a/b", "a%2Fb", "a%252Fb", "a/b/c", "A", "a+b", "~!$'()*,;=:@"} {
		leases = append(leases, lock(t, l, id, tusd.LockTry))
		if _, err := l.Lock(t.Context(), id, tusd.LockTry); !errors.Is(err, tusd.ErrUploadLocked) {
			t.Errorf("%s: %v", id, err)
		}
	}
	for _, lease := range leases {
		unlock(t, lease)
	}
}

// The number of requests to Consul does not depend on the number of locks that are held.
func testHeartbeatsOfManyLocks(t *testing.T, address string) {
	network, client := newRecorder(t, address)
	l := newLocker(t, client, Options{Prefix: prefix(t)})
	for i := range 100 {
		defer unlock(t, lock(t, l, fmt.Sprint(i), tusd.LockTry))
	}
	heartbeats, requests := network.heartbeats.Load(), network.requests.Load()
	until(t, "four heartbeats", func() bool { return network.heartbeats.Load() >= heartbeats+4 })
	if n := network.requests.Load() - requests; n > 10 { // some heartbeats, and a watch
		t.Errorf("%d requests while there were four heartbeats", n)
	}
}

// The watch of the wishes does not see changes of locks.
func testWatchOfFewChanges(t *testing.T, address string) {
	network, client := newRecorder(t, address)
	l := newLocker(t, client, Options{Prefix: prefix(t), TTL: time.Hour})
	for i := range 50 {
		unlock(t, lock(t, l, fmt.Sprint(i), tusd.LockPreempt))
	}
	if n := network.watches.Load(); n > 5 {
		t.Errorf("%d queries of the watch during 50 locks and unlocks", n)
	}
}

// Without the session of the last grants, locks are granted. A number that is not known is
// not told.
func testLastGrantSessionGone(t *testing.T, address string) {
	client := newClient(t, address)
	l := newLocker(t, client, Options{Prefix: prefix(t), TTL: time.Hour})
	first := lock(t, l, "a", tusd.LockTry)
	n, _ := first.Fence()
	unlock(t, first)
	if _, err := client.Session().Destroy(l.service.last.id, nil); err != nil {
		t.Fatal(err)
	}
	second := lock(t, l, "a", tusd.LockTry)
	if m, before := second.Fence(); m <= n || before != 0 {
		t.Errorf("grant %d, before: %d, want more than %d, and 0", m, before, n)
	}
	n, _ = second.Fence()
	unlock(t, second)
	third := lock(t, l, "a", tusd.LockTry)
	if _, before := third.Fence(); before != n {
		t.Errorf("before: %d, want %d", before, n)
	}
	unlock(t, third)
}

// The grant before is not known if it was given in another epoch.
func testLastGrantOfAnotherEpoch(t *testing.T, address string) {
	client := newClient(t, address)
	l := newLocker(t, client, Options{Prefix: prefix(t), TTL: time.Hour})
	unlock(t, lock(t, l, "a", tusd.LockTry))
	other := &api.KVPair{Key: l.service.keys.last("a"), Value: encode(l.service.current().epoch - 1)}
	if _, err := client.KV().Put(other, nil); err != nil {
		t.Fatal(err)
	}
	second := lock(t, l, "a", tusd.LockTry)
	if n, before := second.Fence(); before != 0 {
		t.Errorf("grant %d, before: %d, want 0", n, before)
	}
	unlock(t, second)
}

// A process of which no heartbeat was seen yet keeps its locks.
func testNewProcessLives(t *testing.T, address string) {
	shared := prefix(t)
	client := newClient(t, address)
	o := Options{Prefix: shared, TTL: time.Hour} // no heartbeats
	a, b := newLocker(t, client, o), newLocker(t, client, o)
	unlock(t, lock(t, a, "first", tusd.LockTry))
	holder := preempt("holder")
	try(t, b, holder, nil)
	for _, mode := range []tusd.LockMode{tusd.LockTry, tusd.LockWait, tusd.LockPreempt} {
		try(t, a, &lease.Request{ID: "a", Token: fmt.Sprint(mode), Mode: mode}, lease.ErrHeld)
	}
	release(t, b, holder)
}

// A process that has shown that it lives since it was last seen is not taken for dead.
func testNoBurialOfTheLiving(t *testing.T, address string) {
	shared := prefix(t)
	client := newClient(t, address)
	o := Options{Prefix: shared, TTL: time.Hour}
	a, b := newLocker(t, client, o), newLocker(t, client, o)
	unlock(t, lock(t, a, "first", tusd.LockTry))
	p := a.service.current()
	seen := p.index.Load()
	lease := lock(t, a, "a", tusd.LockTry)
	b.service.bury(map[string]uint64{p.name: seen})
	if _, err := b.Lock(t.Context(), "a", tusd.LockTry); !errors.Is(err, tusd.ErrUploadLocked) {
		t.Errorf("the lock of a process that lives: %v", err)
	}
	unlock(t, lease)
	b.service.bury(map[string]uint64{p.name: p.index.Load()})
	if left := list(t, client, p.key); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

// A hand-over does not wait for a poll, and neither does a request that was overtaken.
func testWaitersAreWoken(t *testing.T, address string) {
	shared := prefix(t)
	client := newClient(t, address)
	var lockers []*ConsulLocker
	for range 3 {
		l := newLocker(t, client, Options{Prefix: shared, TTL: time.Hour})
		l.leases.PollInterval = time.Hour
		lockers = append(lockers, l)
	}
	holder := lock(t, lockers[0], "a", tusd.LockPreempt)
	overtaken := make(chan error, 1)
	go func() {
		_, err := lockers[1].Lock(t.Context(), "a", tusd.LockPreempt)
		overtaken <- err
	}()
	<-holder.Preempted()
	next := make(chan tusd.Lease, 1)
	go func() {
		lease, err := lockers[2].Lock(t.Context(), "a", tusd.LockPreempt)
		if err != nil {
			t.Error(err)
		}
		next <- lease
	}()
	if err := <-overtaken; !errors.Is(err, tusd.ErrUploadLocked) {
		t.Errorf("the first waiter: %v, want ErrUploadLocked", err)
	}
	unlock(t, holder)
	unlock(t, <-next)
}
