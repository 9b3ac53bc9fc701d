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
)

// testTTL is longer than a loaded machine stops a process.
const testTTL = 3 * time.Second

func TestMain(m *testing.M) {
	address := os.Getenv(childAddress)
	if address == "" {
		os.Exit(m.Run())
	}
	client, err := api.NewClient(&api.Config{Address: address})
	if err == nil {
		l := New(client, Options{Prefix: os.Getenv(childPrefix), TTL: testTTL})
		err = lockertest.Serve(l, os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func child(address, prefix string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childAddress+"="+address, childPrefix+"="+prefix)
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
	l := New(client, o)
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
		"partition":        testPartition,
		"late heartbeat":   testLateHeartbeat,
		"failed heartbeat": testFailedHeartbeats,
		"heartbeats":       testHeartbeatsOfManyLocks,
		"order of wishes":  testOrderOfWishes,
		"not held":         testReleaseOfNotHeld,
		"leftover":         testLeftoverIsReleased,
		"ids":              testIDs,
		"killed":           testKilledHolder,
		"close":            testClose,
		"sessions":         testLastGrantSessionGone,
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
	lockertest.Run(t, lockertest.Harness{
		New: func(tb testing.TB, n int) []tusd.Locker {
			used, lockers = prefix(tb), nil
			for range n {
				l := newLocker(tb, newClient(tb, address), Options{Prefix: used})
				if _, err := l.service.join(tb.Context()); err != nil { // its goroutines start before the suite counts them
					tb.Fatal(err)
				}
				lockers = append(lockers, l)
			}
			return lockers
		},
		Scope:   tusd.ScopeLease,
		Process: func(testing.TB, []tusd.Locker) *exec.Cmd { return child(address, used) },
		Lose: func(tb testing.TB, lease tusd.Lease) {
			for _, l := range lockers {
				if l := l.(*ConsulLocker); l.Stats().Held > 0 {
					end(tb, l)
				}
			}
		},
		Timeout:    30 * time.Second,
		SettleTime: 100 * time.Millisecond,
		Goroutines: 24, // of connections that are idle
	})
}

// end removes the key of the locker's process, as other processes do after its death.
func end(tb testing.TB, l *ConsulLocker) {
	tb.Helper()
	p := l.service.current()
	if _, err := l.service.client.KV().Delete(p.key, nil); err != nil {
		tb.Fatal(err)
	}
}
