//go:build linux

package consullocker

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/lockservices"
	"github.com/tus/tusd/lockertest"
)

// The environment variables that make the test binary a process of the suite.
const (
	childAddress = "TUSD_CONSULLOCKER_TEST_ADDRESS"
	childPrefix  = "TUSD_CONSULLOCKER_TEST_PREFIX"
	childTTL     = "TUSD_CONSULLOCKER_TEST_TTL"
)

// testTTL is short, so that the locks of killed processes are free soon. It is long enough
// for a loaded machine.
const testTTL = 2 * time.Second

func TestMain(m *testing.M) {
	address := os.Getenv(childAddress)
	if address == "" {
		os.Exit(m.Run())
	}
	if err := serve(address); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serve runs a process of the suite.
func serve(address string) error {
	client, err := api.NewClient(&api.Config{Address: address})
	if err != nil {
		return err
	}
	ttl, err := time.ParseDuration(os.Getenv(childTTL))
	if err != nil {
		return err
	}
	return lockertest.Serve(newPatient(client, Options{Prefix: os.Getenv(childPrefix), TTL: ttl}), os.Stdin, os.Stdout)
}

// newPatient is New, with calls that may take longer than is usual for a short time to
// live: on a loaded machine Consul syncs slowly.
func newPatient(client *api.Client, o Options) *ConsulLocker {
	l := New(client, o)
	l.leases.CallTimeout = max(l.leases.CallTimeout, testTTL/2)
	return l
}

func child(address, prefix string, ttl time.Duration) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childAddress+"="+address, childPrefix+"="+prefix, childTTL+"="+ttl.String())
	cmd.Stderr = os.Stderr
	return cmd
}

// newClient returns a client of the Consul at address.
func newClient(tb testing.TB, address string) *api.Client {
	return newClientOver(tb, address, &http.Transport{MaxIdleConnsPerHost: 100})
}

func newClientOver(tb testing.TB, address string, transport http.RoundTripper) *api.Client {
	tb.Helper()
	http := &http.Client{Transport: transport}
	client, err := api.NewClient(&api.Config{Address: address, HttpClient: http})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(http.CloseIdleConnections)
	return client
}

// newLocker returns a locker that is closed at the end of the test.
func newLocker(tb testing.TB, client *api.Client, o Options) *ConsulLocker {
	tb.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.TTL = cmp.Or(o.TTL, testTTL)
	l := newPatient(client, o)
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testTTL)
		defer cancel()
		l.Close(ctx) // fails in tests that stop Consul or cut the network
	})
	return l
}

var prefixes sync.Map // counts the prefixes of each test

// prefix returns a prefix that nothing else uses.
func prefix(tb testing.TB) string {
	for i := 1; ; i++ {
		p := fmt.Sprintf("test/%s/%d", tb.Name(), i)
		if _, used := prefixes.LoadOrStore(p, true); !used {
			return p
		}
	}
}

// TestConsul runs all tests that share one Consul.
func TestConsul(t *testing.T) {
	server := lockservices.Consul(t)
	t.Run("contract", func(t *testing.T) { testContract(t, server.Addr()) })
	for name, test := range map[string]func(t *testing.T, address string){
		"process gone":     testProcessGone,
		"late heartbeat":   testLateHeartbeat,
		"failed heartbeat": testFailedHeartbeats,
		"heartbeats":       testHeartbeatsOfManyLocks,
		"order of wishes":  testOrderOfWishes,
		"removed wishes":   testWishesThatWereRemoved,
		"not held":         testReleaseOfNotHeld,
		"own leftovers":    testOwnLeftovers,
		"leftover":         testLeftoverIsReleased,
		"new process":      testNewProcessLives,
		"burial":           testNoBurialOfTheLiving,
		"wakes":            testWaitersAreWoken,
		"ids":              testIDs,
		"killed":           testKilledHolder,
		"close":            testClose,
		"sessions":         testLastGrantSessionGone,
		"epochs":           testLastGrantOfAnotherEpoch,
		"watch":            testWatchOfFewChanges,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, server.Addr())
		})
	}
}

func testContract(t *testing.T, address string) {
	var used string // prefix of the lockers in use
	var lockers []tusd.Locker
	links := make(map[tusd.Locker]*lockservices.Link)
	lockertest.Run(t, lockertest.Harness{
		New: func(tb testing.TB, n int) []tusd.Locker {
			used, lockers = prefix(tb), nil
			for range n {
				link := lockservices.NewLink(tb, address)
				l := newLocker(tb, newClient(tb, link.Addr()), Options{Prefix: used})
				links[l] = link
				unlock(tb, lock(tb, l, "first", tusd.LockTry)) // its goroutines start before the suite counts them
				lockers = append(lockers, l)
			}
			return lockers
		},
		Scope:   tusd.ScopeLease,
		Process: func(testing.TB, []tusd.Locker) *exec.Cmd { return child(address, used, testTTL) },
		Lose: func(tb testing.TB, lease tusd.Lease) {
			for _, l := range lockers {
				if l := l.(*ConsulLocker); l.Stats().Held > 0 {
					end(tb, l)
				}
			}
		},
		Partition: func(_ testing.TB, l tusd.Locker) (restore func()) {
			links[l].Cut()
			return links[l].Restore
		},
		TTL:        testTTL,
		Timeout:    30 * time.Second,
		SettleTime: 100 * time.Millisecond,
		Goroutines: 100, // of connections that are idle, and their links
	})
}

// end removes the key of the locker's process, as other processes do after its death.
func end(tb testing.TB, l *ConsulLocker) {
	tb.Helper()
	deleteKey(tb, l, l.service.current().key)
}
