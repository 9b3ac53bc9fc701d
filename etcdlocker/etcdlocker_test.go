//go:build linux

package etcdlocker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/lease"
	"github.com/tus/tusd/internal/lockservices"
	"github.com/tus/tusd/internal/require"
)

// request calls Lock in the background.
func (n node) request(id string, mode tusd.LockMode) <-chan result {
	c := make(chan result, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		s, err := n.Lock(ctx, id, mode)
		c <- result{s, err}
	}()
	return c
}

type result struct {
	lease tusd.Lease
	err   error
}

func (r result) granted(tb testing.TB) tusd.Lease {
	tb.Helper()
	if r.err != nil {
		tb.Fatal(r.err)
	}
	return r.lease
}

func await(tb testing.TB, what string, c <-chan struct{}) {
	tb.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		tb.Fatalf("no sign of %s", what)
	}
}

func eventually(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(patience); !condition(); {
		if time.Now().After(deadline) {
			tb.Fatalf("no sign of %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// keysOf returns the keys of n in etcd below lock/, want/ or another part of the prefix.
func (n node) keysOf(tb testing.TB, part string) (names []string) {
	tb.Helper()
	prefix := string(n.service.keys) + part
	answer, err := n.dialer.client.Get(context.Background(), prefix, clientv3.WithPrefix())
	if err != nil {
		tb.Fatal(err)
	}
	for _, kv := range answer.Kvs {
		names = append(names, strings.TrimPrefix(string(kv.Key), prefix))
	}
	return names
}

func wantLost(tb testing.TB, s tusd.Lease) {
	tb.Helper()
	await(tb, "the loss of a lease", s.Context().Done())
	if err := context.Cause(s.Context()); !errors.Is(err, tusd.ErrLockLost) {
		tb.Errorf("the lease ends with %v, want ErrLockLost", err)
	}
}

// withoutPolls makes nodes that learn everything by their watch: a poll would hide that one
// misses something.
func withoutPolls(tb testing.TB, etcd *lockservices.Server, count int) (nodes []node) {
	tb.Helper()
	prefix := newPrefix()
	for range count {
		n := join(tb, etcd, prefix)
		n.locker.PollInterval = time.Hour
		nodes = append(nodes, n)
	}
	return nodes
}

// Ids whose keys begin alike, or like keys of other kinds, do not touch each other.
func testSimilarIDs(t *testing.T, etcd *lockservices.Server) {
	nodes := withoutPolls(t, etcd, 2)
	a, b := nodes[0], nodes[1]
	ids := []string{"a", "a/", "a/b", "b", "lock/a", "want/a", "a b", "ä"}
	held := make(map[string]tusd.Lease)
	for _, id := range ids {
		held[id] = mustLock(t, a, id)
	}
	for i, id := range ids {
		next := b.request(id, tusd.LockPreempt)
		await(t, "preemption of "+id, held[id].Preempted())
		for _, other := range ids[i+1:] {
			select {
			case <-held[other].Preempted():
				t.Fatalf("a request for %q preempts %q", id, other)
			default:
			}
		}
		unlock(t, held[id])
		unlock(t, (<-next).granted(t))
	}
}

// When etcd has given up the session, all leases are lost, and the locker works again.
func testSessionRevoked(t *testing.T, etcd *lockservices.Server) {
	prefix := newPrefix()
	a, b := join(t, etcd, prefix), join(t, etcd, prefix)
	first, second := mustLock(t, a, "a"), mustLock(t, a, "b")
	kept := mustLock(t, b, "c")
	a.revoke(t)
	taken := mustLock(t, b, "a") // nothing holds it
	wantLost(t, first)
	wantLost(t, second)
	unlock(t, first)
	unlock(t, second)
	if _, err := a.Lock(t.Context(), "a", tusd.LockTry); !errors.Is(err, tusd.ErrUploadLocked) {
		t.Errorf("unlock of a lost lease freed the lock of another holder: %v", err)
	}
	again := mustLock(t, a, "b")
	if err := errors.Join(kept.Context().Err(), again.Context().Err(), taken.Context().Err()); err != nil {
		t.Error(err)
	}
	for _, s := range []tusd.Lease{taken, again, kept} {
		unlock(t, s)
	}
}

// A request that needs a lock before the renewal has noticed it makes a new session, too.
func testLastLeaseGone(t *testing.T, etcd *lockservices.Server) {
	a := join(t, etcd, newPrefix())
	held := mustLock(t, a, "held")
	last, _ := a.service.present().leases()
	if _, err := a.dialer.client.Revoke(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	other := mustLock(t, a, "other")
	unlock(t, other)
	if err := held.Context().Err(); err != nil {
		t.Errorf("a lease is lost with the lease of last keys: %v", err)
	}
	a.revoke(t)
	unlock(t, mustLock(t, a, "other"))
	wantLost(t, held)
	unlock(t, held)
}

func testReleaseOfWhatIsNotHeld(t *testing.T, etcd *lockservices.Server) {
	nodes := withoutPolls(t, etcd, 2)
	a, b := nodes[0], nodes[1]
	held := mustLock(t, a, "a")
	next := b.request("a", tusd.LockPreempt)
	await(t, "preemption", held.Preempted())
	for _, token := range []string{"OTHER", "A", "", "ZZZZ"} {
		for _, id := range []string{"a", "free"} {
			if err := b.service.Release(t.Context(), &lease.Request{ID: id, Token: token}); err != nil {
				t.Errorf("release of %q: %v", id, err)
			}
		}
	}
	if locks, wishes := a.keysOf(t, "lock/"), a.keysOf(t, "want/"); !slices.Equal(locks, []string{"a"}) || !slices.Equal(wishes, []string{"a"}) {
		t.Errorf("the locks %q and the wishes %q are left", locks, wishes)
	}
	unlock(t, held)
	unlock(t, (<-next).granted(t))
}

// Keys of requests that do not exist any more, because a call was late, block no request.
func testLeftBehind(t *testing.T, etcd *lockservices.Server) {
	nodes := withoutPolls(t, etcd, 2)
	a, b := nodes[0], nodes[1]
	late := func(id string) error {
		_, err := a.service.Try(t.Context(), &lease.Request{ID: id, Token: "LATE" + id})
		return err
	}
	if err := errors.Join(late("own"), late("others")); err != nil {
		t.Fatal(err)
	}
	unlock(t, mustLock(t, a, "own"))
	unlock(t, mustLock(t, b, "others"))

	held := mustLock(t, b, "wish")
	if err := late("wish"); err != lease.ErrHeld {
		t.Fatalf("a held lock: %v", err)
	}
	eventually(t, "the end of a wish without a request", func() bool { return len(a.keysOf(t, "want/")) == 0 })
	unlock(t, held)
	if locks := a.keysOf(t, "lock/"); len(locks) > 0 {
		t.Errorf("the locks %q are left", locks)
	}
}

// The newest LockPreempt goes first, whichever node it comes from, and an older one does
// not come back.
func testNewestNodeFirst(t *testing.T, etcd *lockservices.Server) {
	nodes := withoutPolls(t, etcd, 3)
	a, b, c := nodes[0], nodes[1], nodes[2]
	held := mustLock(t, a, "a")
	old := &lease.Request{ID: "a", Token: "OLD"}
	if _, err := b.service.Try(t.Context(), old); err != lease.ErrHeld {
		t.Fatalf("a held lock: %v", err)
	}
	await(t, "preemption", held.Preempted())
	eventually(t, "the end of a wish without a request", func() bool { return len(a.keysOf(t, "want/")) == 0 })
	older := b.request("a", tusd.LockPreempt)
	eventually(t, "a wish", func() bool { return len(a.keysOf(t, "want/")) == 1 })
	newest := c.request("a", tusd.LockPreempt)
	if r := <-older; !errors.Is(r.err, tusd.ErrUploadLocked) {
		t.Errorf("an overtaken request gets %v", r.err)
	}
	if _, err := b.service.Try(t.Context(), old); err != lease.ErrOvertaken {
		t.Errorf("an older request that tries again while a newer one waits: %v", err)
	}
	unlock(t, held)
	held = (<-newest).granted(t)
	if _, err := b.service.Try(t.Context(), old); err != lease.ErrOvertaken {
		t.Errorf("an older request that tries again while a newer one holds the lock: %v", err)
	}
	select {
	case <-held.Preempted():
		t.Error("an older request preempts a newer one")
	default:
	}
	unlock(t, held)
}

// Close frees the locks that are still held, and tells the requests that wait.
func testClose(t *testing.T, etcd *lockservices.Server) {
	nodes := withoutPolls(t, etcd, 2)
	a, b := nodes[0], nodes[1]
	held := make([]tusd.Lease, 20)
	for i := range held {
		held[i] = mustLock(t, a, strconv.Itoa(i))
	}
	next := b.request("7", tusd.LockPreempt)
	await(t, "preemption", held[7].Preempted())
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, s := range held {
		wantLost(t, s)
	}
	s := (<-next).granted(t)
	if locks := b.keysOf(t, "lock/"); !slices.Equal(locks, []string{"7"}) {
		t.Errorf("the locks %q are left", locks)
	}
	unlock(t, s)
	if _, err := a.Lock(t.Context(), "a", tusd.LockTry); !errors.Is(err, tusd.ErrLockServiceUnavailable) {
		t.Errorf("Lock of a closed locker: %v", err)
	}
}

// A watch that etcd cannot continue, because it has forgotten what happened, misses no
// wish.
func testCompaction(t *testing.T, etcd *lockservices.Server) {
	nodes := withoutPolls(t, etcd, 2)
	a, b := nodes[0], nodes[1]
	held := mustLock(t, a, "a")
	x := a.service.present()
	x.ended() // the watch
	a.service.watches.Wait()
	next := b.request("a", tusd.LockPreempt)
	eventually(t, "a wish", func() bool { return len(a.keysOf(t, "want/")) == 1 })
	now, err := a.dialer.client.Put(t.Context(), newPrefix()+"/other", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.dialer.client.Compact(t.Context(), now.Header.Revision); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	a.service.watches.Go(func() { a.service.watch(ctx, x, 1) })
	await(t, "preemption", held.Preempted())
	unlock(t, held)
	unlock(t, (<-next).granted(t))
	a.service.mu.Lock()
	x.ended = cancel // Close ends the watch
	a.service.mu.Unlock()
}

// The time to live of a lock counts from the last renewal of the session. An old session is
// renewed before it gives out a lock.
func testOldSession(t *testing.T, etcd *lockservices.Server) {
	a := join(t, etcd, newPrefix())
	x := a.service.present()
	try := func(id string) lease.Grant {
		grant, err := a.service.Try(t.Context(), &lease.Request{ID: id, Token: "T" + id})
		if err != nil {
			t.Fatal(err)
		}
		return grant
	}
	_, before := x.leases()
	grant := try("a")
	if _, after := x.leases(); grant.Since != before && grant.Since != after {
		t.Errorf("the lock counts from %v, and the session was renewed at %v and at %v", grant.Since, before, after)
	}
	began := time.Now()
	x.mu.Lock()
	x.renewed = began.Add(-testTTL / 2)
	x.mu.Unlock()
	if grant := try("b"); grant.Since.Before(began) {
		t.Errorf("the lock counts from %v before the call", began.Sub(grant.Since))
	}
}

// testManyLocks counts what etcd receives for 10 000 locks that are held.
func testManyLocks(t *testing.T, etcd *lockservices.Server) {
	require.Long(t)
	const locks, limit = 10_000, 1000 // limit: messages per second
	a := joinFor(t, etcd, newPrefix(), defaultTTL)
	held := holdMany(t, a, locks)
	before, started := messages(t, etcd), time.Now()
	renewals := a.Stats().Calls
	eventually(t, "renewals", func() bool { return a.Stats().Calls >= renewals+4 })
	rate := float64(messages(t, etcd)-before) / time.Since(started).Seconds()
	t.Logf("%d locks: %.1f messages a second", locks, rate)
	if rate > limit {
		t.Errorf("%.0f messages a second for %d locks, want at most %d", rate, locks, limit)
	}
	for _, s := range held {
		if err := s.Context().Err(); err != nil {
			t.Fatalf("a lease is lost: %v", err)
		}
	}
}

func holdMany(tb testing.TB, n node, locks int) []tusd.Lease {
	tb.Helper()
	held := make([]tusd.Lease, locks)
	var workers sync.WaitGroup
	const parallel = 50
	for w := range parallel {
		workers.Go(func() {
			for i := w; i < locks; i += parallel {
				s, err := n.Lock(tb.Context(), fmt.Sprintf("upload-%d", i), tusd.LockPreempt)
				if err != nil {
					tb.Error(err)
					return
				}
				held[i] = s
			}
		})
	}
	workers.Wait()
	if tb.Failed() {
		tb.FailNow()
	}
	return held
}
