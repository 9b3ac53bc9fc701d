package redislocker

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/lockservices"
	"github.com/tus/tusd/lockertest"
)

// The environment variables that make the test binary a process of the suite.
const (
	childAddress = "TUSD_REDISLOCKER_TEST_ADDRESS"
	childPrefix  = "TUSD_REDISLOCKER_TEST_PREFIX"
)

func TestMain(m *testing.M) {
	redis.SetLogger(noLog{}) // lost connections are part of the tests
	address := os.Getenv(childAddress)
	if address == "" {
		os.Exit(m.Run())
	}
	client := newClient(address)
	l := New(client, Options{Prefix: os.Getenv(childPrefix), TTL: testTTL})
	if err := lockertest.Serve(l, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type noLog struct{}

func (noLog) Printf(context.Context, string, ...any) {}

// testTTL is short, so that the locks of killed processes are free soon. It is long enough
// for a busy machine.
const testTTL = 2 * time.Second

func newClient(address string) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: address, ContextTimeoutEnabled: true, DisableIdentity: true, MaxRetries: -1})
}

// connect makes a locker with a client of its own.
func connect(tb testing.TB, address string, options Options) *RedisLocker {
	tb.Helper()
	client := newClient(address)
	if options.TTL == 0 {
		options.TTL = testTTL
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	l := New(client, options)
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		l.Close(ctx) // fails if the test has stopped Redis
		client.Close()
	})
	return l
}

// settled starts a Redis and waits until it gives out locks.
func settled(tb testing.TB) *lockservices.Server {
	tb.Helper()
	server := lockservices.Redis(tb)
	lockOnce(tb, connect(tb, server.Addr(), Options{Prefix: "settle"}))
	return server
}

// lockOnce locks and unlocks an id.
func lockOnce(tb testing.TB, l tusd.Locker) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	lease, err := l.Lock(ctx, "once", tusd.LockWait)
	if err != nil {
		tb.Fatal(err)
	}
	if err := lease.Unlock(ctx); err != nil {
		tb.Fatal(err)
	}
}

func TestContract(t *testing.T) {
	server := settled(t)
	cases := 0
	links := make(map[tusd.Locker]*lockservices.Link)
	prefix := func() string { return fmt.Sprintf("case%d", cases) }
	lockertest.Run(t, lockertest.Harness{
		New: func(tb testing.TB, n int) []tusd.Locker {
			cases++
			lockers := make([]tusd.Locker, n)
			for i := range lockers {
				link := lockservices.NewLink(tb, server.Addr())
				l := connect(tb, link.Addr(), Options{Prefix: prefix()})
				links[l] = link
				lockOnce(tb, l) // its goroutines and connections exist before the suite counts them
				lockers[i] = l
			}
			return lockers
		},
		Scope: tusd.ScopeLease,
		Lose: func(tb testing.TB, l tusd.Lease) {
			client := newClient(server.Addr())
			defer client.Close()
			keys, err := client.Keys(tb.Context(), "{"+prefix()+"}:lock:*").Result()
			if err != nil || len(keys) != 1 {
				tb.Fatal(keys, err)
			}
			if err := client.Del(tb.Context(), keys[0]).Err(); err != nil {
				tb.Fatal(err)
			}
		},
		Partition: func(_ testing.TB, l tusd.Locker) (restore func()) {
			links[l].Cut()
			return links[l].Restore
		},
		TTL: testTTL,
		Process: func(testing.TB, []tusd.Locker) *exec.Cmd {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), childAddress+"="+server.Addr(), childPrefix+"="+prefix())
			cmd.Stderr = os.Stderr
			return cmd
		},
		SettleTime: 100 * time.Millisecond,
		Goroutines: 24, // of the links, for the connections of the pools
	})
}
