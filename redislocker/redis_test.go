package redislocker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/lockservices"
	"github.com/tus/tusd/internal/loopback"
	"github.com/tus/tusd/internal/require"
)

func mustLock(tb testing.TB, l tusd.Locker, id string, mode tusd.LockMode) tusd.Lease {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 30*time.Second)
	defer cancel()
	lease, err := l.Lock(ctx, id, mode)
	if err != nil {
		tb.Fatalf("lock %s: %v", id, err)
	}
	return lease
}

func mustUnlock(tb testing.TB, lease tusd.Lease) {
	tb.Helper()
	if err := lease.Unlock(tb.Context()); err != nil {
		tb.Fatalf("unlock: %v", err)
	}
}

// wantHeld checks for a while that another request does not get a lock that is held.
func wantHeld(t *testing.T, l tusd.Locker, id string, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	for ctx.Err() == nil {
		_, err := l.Lock(ctx, id, tusd.LockWait)
		if err == nil || !errors.Is(err, tusd.ErrLockTimeout) && !errors.Is(err, tusd.ErrLockServiceUnavailable) {
			t.Fatalf("the lock of %s has a holder: %v", id, err)
		}
	}
}

// A Redis without persistence forgets all locks when it starts again. Their holders put
// them back before another request gets one.
func TestRestartWithoutData(t *testing.T) {
	t.Parallel()
	server := settled(t)
	a, b := connect(t, server.Addr(), Options{}), connect(t, server.Addr(), Options{})
	once := mustLock(t, b, "once", tusd.LockPreempt)
	lastNumber, _ := once.Fence()
	mustUnlock(t, once)
	held := mustLock(t, a, "held", tusd.LockPreempt)

	server.Restart()
	wantHeld(t, b, "held", testTTL+testTTL/2) // also when Redis gives out locks again
	if err := held.Context().Err(); err != nil {
		t.Errorf("the holder has lost its lease: %v", context.Cause(held.Context()))
	}
	again := mustLock(t, b, "once", tusd.LockPreempt)
	if n, before := again.Fence(); n <= lastNumber || before != 0 {
		t.Errorf("grant %d (before: %d) follows grant %d and a restart", n, before, lastNumber)
	}
	mustUnlock(t, again)
	mustUnlock(t, held)
	mustUnlock(t, mustLock(t, b, "held", tusd.LockWait))
}

// switchable is an address that clients dial, as a name whose server changes.
type switchable struct{ address atomic.Pointer[string] }

func (s *switchable) point(address string) { s.address.Store(&address) }

func (s *switchable) connect(t *testing.T) *RedisLocker {
	client := redis.NewClient(&redis.Options{
		Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", *s.address.Load())
		},
		ContextTimeoutEnabled: true, DisableIdentity: true,
	})
	t.Cleanup(func() { client.Close() })
	l := New(client, Options{TTL: testTTL})
	t.Cleanup(func() { l.Close(context.Background()) })
	return l
}

// replicaOf starts a replica of a primary.
func replicaOf(t *testing.T, primary *lockservices.Server) *lockservices.Server {
	t.Helper()
	host, port, err := net.SplitHostPort(primary.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return lockservices.Redis(t, "--replicaof", host+" "+port)
}

// A replica that takes over does not have the newest locks, and has old numbers. The locks
// are put back, and the numbers are not taken for the newest.
func TestFailover(t *testing.T) {
	t.Parallel()
	primary := settled(t)
	replica := replicaOf(t, primary)
	var name switchable
	name.point(primary.Addr())
	a, b := name.connect(t), name.connect(t)

	old := mustLock(t, b, "replicated", tusd.LockPreempt)
	oldNumber, _ := old.Fence()
	mustUnlock(t, old)
	client := newClient(replica.Addr())
	defer client.Close()
	await(t, "the replica has the last grant", func() bool {
		n, err := client.Exists(t.Context(), "{tusd}:last:replicated").Result()
		return err == nil && n == 1
	})
	if err := client.ReplicaOf(t.Context(), "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
	held := mustLock(t, a, "held", tusd.LockPreempt) // a write that the replica does not get
	newer := mustLock(t, a, "replicated", tusd.LockPreempt)
	if _, before := newer.Fence(); before != oldNumber {
		t.Errorf("before is %d, want %d", before, oldNumber)
	}
	mustUnlock(t, newer)
	name.point(replica.Addr())
	primary.Stop()

	wantHeld(t, b, "held", testTTL+testTTL/2)
	if err := held.Context().Err(); err != nil {
		t.Errorf("the holder has lost its lease: %v", context.Cause(held.Context()))
	}
	again := mustLock(t, b, "replicated", tusd.LockPreempt)
	if n, before := again.Fence(); n <= oldNumber || before != 0 {
		t.Errorf("grant %d (before: %d) follows a failover that lost a grant after %d", n, before, oldNumber)
	}
	mustUnlock(t, again)
	mustUnlock(t, held)
}

// A replica that takes over may have run for long, and have nothing of the prefix. It gives out
// no locks either before all holders had time to put theirs back.
func TestFailoverWithoutState(t *testing.T) {
	t.Parallel()
	primary := settled(t)
	replica := replicaOf(t, primary)
	client := newClient(replica.Addr())
	defer client.Close()
	await(t, "the replica is one, and has run for a time to live", func() bool {
		info, err := client.Info(t.Context()).Result()
		_, up, _ := strings.Cut(info, "uptime_in_seconds:")
		var seconds int
		fmt.Sscan(up, &seconds)
		return err == nil && strings.Contains(info, "master_link_status:up") && time.Duration(seconds)*time.Second > testTTL
	})
	if err := client.ReplicaOf(t.Context(), "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.FlushAll(t.Context()).Err(); err != nil { // settled has locked once
		t.Fatal(err)
	}
	var name switchable
	name.point(primary.Addr())
	a, b := name.connect(t), name.connect(t)
	held := mustLock(t, a, "held", tusd.LockPreempt)
	name.point(replica.Addr())
	primary.Stop()

	wantHeld(t, b, "held", testTTL+testTTL/2)
	if err := held.Context().Err(); err != nil {
		t.Errorf("the holder has lost its lease: %v", context.Cause(held.Context()))
	}
	mustUnlock(t, held)
}

// await polls until condition is true.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not in time: %s", what)
		}
	}
}

// In a Redis Cluster all keys are in one slot, and messages reach every process.
func TestCluster(t *testing.T) {
	t.Parallel()
	server := lockservices.Redis(t, "--cluster-enabled", "yes", "--cluster-config-file", filepath.Join(t.TempDir(), "nodes.conf"),
		"--cluster-announce-ip", loopback.Host())
	single := newClient(server.Addr())
	defer single.Close()
	if err := single.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	await(t, "the cluster serves", func() bool {
		return single.Set(t.Context(), "x", "", time.Second).Err() == nil
	})
	lockers := make([]*RedisLocker, 2)
	for i := range lockers {
		client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{server.Addr()}, ContextTimeoutEnabled: true, DisableIdentity: true})
		defer client.Close()
		lockers[i] = New(client, Options{TTL: testTTL, Prefix: "clu"})
		defer lockers[i].Close(t.Context())
	}
	holder := mustLock(t, lockers[0], "a", tusd.LockPreempt)
	granted := make(chan tusd.Lease)
	go func() { granted <- mustLock(t, lockers[1], "a", tusd.LockPreempt) }()
	<-holder.Preempted()
	mustUnlock(t, holder)
	lease := <-granted
	n, _ := holder.Fence()
	if _, before := lease.Fence(); before != n {
		t.Errorf("before is %d, want %d", before, n)
	}
	var many []tusd.Lease
	for i := range batch + 1 { // more than one batch
		many = append(many, mustLock(t, lockers[1], fmt.Sprint(i), tusd.LockTry))
	}
	<-time.After(testTTL) // renewals keep them
	for _, s := range append(many, lease) {
		if s.Context().Err() != nil {
			t.Fatal(context.Cause(s.Context()))
		}
		mustUnlock(t, s)
	}
}

// counter counts the requests of a client: a pipeline is one for each command.
type counter struct{ requests atomic.Int64 }

func (c *counter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *counter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.requests.Add(1)
		return next(ctx, cmd)
	}
}

func (c *counter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.requests.Add(int64(len(cmds)))
		return next(ctx, cmds)
	}
}

// 10 000 held locks, of which a hundred are wanted by another process, need few requests.
func TestRequestsOfManyLocks(t *testing.T) {
	require.Long(t)
	t.Parallel()
	server := settled(t)
	var count counter
	lockers := make([]*RedisLocker, 2)
	for i := range lockers {
		client := newClient(server.Addr())
		defer client.Close()
		client.AddHook(&count)
		lockers[i] = New(client, Options{})
		defer lockers[i].Close(t.Context())
	}
	await(t, "Redis gives out locks with a longer time to live", func() bool {
		lease, err := lockers[0].Lock(t.Context(), "first", tusd.LockTry)
		return err == nil && lease.Unlock(t.Context()) == nil
	})
	const held, wanted, workers = 10_000, 100, 20
	leases := make([]tusd.Lease, held)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := w; i < held; i += workers {
				leases[i] = mustLock(t, lockers[0], fmt.Sprint(i), tusd.LockPreempt)
			}
		})
	}
	group.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for i := range wanted {
		group.Go(func() { lockers[1].Lock(ctx, fmt.Sprint(i), tusd.LockPreempt) }) // never granted
	}
	before, begun := count.requests.Load(), time.Now()
	<-time.After(2 * lockers[0].TTL)
	perSecond := float64(count.requests.Load()-before) / time.Since(begun).Seconds()
	t.Logf("%d locks are held, %d are wanted: %.0f requests per second", held, wanted, perSecond)
	if perSecond > 1000 || perSecond < 8 {
		t.Errorf("%.0f requests per second", perSecond)
	}
	for _, s := range leases {
		if s.Context().Err() != nil {
			t.Fatal(context.Cause(s.Context()))
		}
	}
	cancel()
	group.Wait()
}

// Settings of Redis by which locks can vanish are told.
func TestUnsafe(t *testing.T) {
	t.Parallel()
	server := lockservices.Redis(t)
	l := connect(t, server.Addr(), Options{})
	if problems, err := l.Unsafe(t.Context()); err != nil || len(problems) != 0 {
		t.Errorf("%q, %v", problems, err)
	}
	if err := l.service.client.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err(); err != nil {
		t.Fatal(err)
	}
	if problems, err := l.Unsafe(t.Context()); err != nil || len(problems) != 1 {
		t.Errorf("%q, %v", problems, err)
	}
	member := lockservices.Redis(t, "--cluster-enabled", "yes")
	if problems, err := connect(t, member.Addr(), Options{}).Unsafe(t.Context()); err != nil || len(problems) != 1 || !strings.Contains(problems[0], "Cluster") {
		t.Errorf("a member of a cluster: %q, %v", problems, err)
	}
}
