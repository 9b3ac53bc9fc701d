//go:build linux

package etcdlocker

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/lease"
	"github.com/tus/tusd/internal/lockservices"
	"github.com/tus/tusd/lockertest"
)

// The environment variables that make the test binary a process of the suite: the address
// of etcd, and the prefix of the keys.
const (
	childAddress = "TUSD_ETCDLOCKER_TEST_ADDRESS"
	childPrefix  = "TUSD_ETCDLOCKER_TEST_PREFIX"
)

func TestMain(m *testing.M) {
	address := os.Getenv(childAddress)
	if address == "" {
		os.Exit(m.Run())
	}
	l, _ := open(address, os.Getenv(childPrefix), childTTL)
	if err := lockertest.Serve(l, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const (
	// testTTL is short, and long enough for a machine with other work.
	testTTL = 3 * time.Second
	// childTTL is that of processes that are killed. etcd allows no shorter one.
	childTTL = 2 * time.Second
)

// open makes a locker with a client of its own. Calls of etcd have the time that a loaded
// machine needs.
func open(address, prefix string, ttl time.Duration) (*EtcdLocker, *dialer) {
	d := &dialer{config: clientv3.Config{Endpoints: []string{address}, Logger: zap.NewNop()}}
	options := Options{Prefix: prefix, TTL: ttl, Logger: slog.New(slog.DiscardHandler)}
	settings := lease.Settings{Service: "a test", CallTimeout: time.Second, Patience: 100 * time.Millisecond, RenewInterval: testTTL / 4}
	return newLocker(d.connect, d.close, options, settings), d
}

// node is a process with a locker, and its network.
type node struct {
	*EtcdLocker
	dialer *dialer
	link   *lockservices.Link
}

// join makes a locker with a session.
func join(tb testing.TB, etcd *lockservices.Server, prefix string) node {
	return joinFor(tb, etcd, prefix, testTTL)
}

func joinFor(tb testing.TB, etcd *lockservices.Server, prefix string, ttl time.Duration) node {
	tb.Helper()
	link := lockservices.NewLink(tb, etcd.Addr())
	l, d := open(link.Addr(), prefix, ttl)
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		l.Close(ctx) // fails where the test has cut the network
	})
	unlock(tb, mustLock(tb, l, "warm-up"))
	return node{l, d, link}
}

// revoke ends the session of n, as an operator or an etcd without its data does.
func (n node) revoke(tb testing.TB) {
	tb.Helper()
	if _, err := n.dialer.client.Revoke(context.Background(), n.service.present().id); err != nil {
		tb.Fatal(err)
	}
}

func mustLock(tb testing.TB, l tusd.Locker, id string) tusd.Lease {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := l.Lock(ctx, id, tusd.LockPreempt)
	if err != nil {
		tb.Fatalf("lock %q: %v", id, err)
	}
	return s
}

func unlock(tb testing.TB, s tusd.Lease) {
	tb.Helper()
	if err := s.Unlock(context.Background()); err != nil {
		tb.Fatalf("unlock: %v", err)
	}
}

// patience bounds the wait for what must happen.
const patience = time.Minute

var prefixes atomic.Int64

// newPrefix returns a prefix that no other test has.
func newPrefix() string { return fmt.Sprintf("test-%d", prefixes.Add(1)) }

// TestEtcd runs the tests that share one etcd.
func TestEtcd(t *testing.T) {
	etcd := lockservices.Etcd(t)
	t.Run("contract", func(t *testing.T) { lockertest.Run(t, harness(etcd)) })
	for _, c := range []struct {
		name string
		run  func(*testing.T, *lockservices.Server)
	}{
		{"similar ids", testSimilarIDs},
		{"session revoked", testSessionRevoked},
		{"release of what is not held", testReleaseOfWhatIsNotHeld},
		{"left behind", testLeftBehind},
		{"newest node first", testNewestNodeFirst},
		{"close", testClose},
		{"compaction", testCompaction},
		{"the lease of last is gone", testLastLeaseGone},
		{"an old session", testOldSession},
		{"many locks", testManyLocks},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, etcd) })
	}
}

func harness(etcd *lockservices.Server) lockertest.Harness {
	var prefix string // of the nodes in use
	var nodes map[tusd.Locker]node
	var first tusd.Locker
	return lockertest.Harness{
		New: func(tb testing.TB, n int) []tusd.Locker {
			prefix, nodes = newPrefix(), make(map[tusd.Locker]node)
			lockers := make([]tusd.Locker, n)
			for i := range lockers {
				n := join(tb, etcd, prefix)
				lockers[i], nodes[n.EtcdLocker] = n.EtcdLocker, n
			}
			first = lockers[0]
			return lockers
		},
		Scope: tusd.ScopeLease,
		Lose:  func(tb testing.TB, _ tusd.Lease) { nodes[first].revoke(tb) }, // leases of other lockers are not lost
		Process: func(testing.TB, []tusd.Locker) *exec.Cmd {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), childAddress+"="+etcd.Addr(), childPrefix+"="+prefix)
			cmd.Stderr = os.Stderr
			return cmd
		},
		Partition: func(_ testing.TB, l tusd.Locker) (restore func()) {
			nodes[l].link.Cut()
			return nodes[l].link.Restore
		},
		TTL:        testTTL,
		Timeout:    patience,
		SettleTime: 100 * time.Millisecond,
		Goroutines: 4, // of connections
	}
}
