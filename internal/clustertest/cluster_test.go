//go:build linux

package clustertest

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd/internal/eventcheck"
	"github.com/tus/tusd/internal/faulttest"
	"github.com/tus/tusd/internal/lockservices"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/s3services"
	"github.com/tus/tusd/internal/tusclient"
)

// builder builds the daemon when the first test needs it.
var builder faulttest.Builder

func TestMain(m *testing.M) {
	flag.Set("test.parallel", "4") // the tests wait most of the time
	code := m.Run()
	builder.Remove()
	os.Exit(code)
}

// TestFileLocker runs three processes of one machine on one directory.
func TestFileLocker(t *testing.T) {
	prepare(t)
	run(t, variant{
		launch: faulttest.Launch{
			Binary: builder.Binary(t, ""),
			Dir:    filepath.Join(t.TempDir(), "uploads"),
			Flags:  []string{"-locker", "file"},
		},
		ttl: 10 * time.Second, // a lock of a stopped process lives on
	})
}

// TestRedis, TestEtcd and TestConsul run three nodes on one bucket.
func TestRedis(t *testing.T) {
	prepare(t)
	run(t, inBucket(t, lockservices.Redis(t), 10*time.Second, func(address string) []string {
		return []string{"-locker", "redis", "-redis-url", "redis://" + address}
	}))
}

func TestEtcd(t *testing.T) {
	prepare(t)
	run(t, inBucket(t, lockservices.Etcd(t), 10*time.Second, func(address string) []string {
		return []string{"-locker", "etcd", "-etcd-url", "http://" + address}
	}))
}

func TestConsul(t *testing.T) {
	prepare(t)
	run(t, inBucket(t, lockservices.Consul(t), 15*time.Second, func(address string) []string {
		return []string{"-locker", "consul", "-consul-url", "http://" + address}
	}))
}

// inBucket returns a variant with uploads in a bucket of versitygw, and leases that live for
// ttl without renewal.
func inBucket(t *testing.T, service *lockservices.Server, ttl time.Duration, locks func(address string) []string) variant {
	t.Helper()
	s := s3services.Versitygw(t)
	return variant{
		launch: faulttest.Launch{
			Binary: builder.Binary(t, ""),
			Flags:  []string{"-s3-bucket", s.NewBucket(t), "-s3-endpoint", s.Endpoint, "-s3-part-size", "5242880"},
			Env: []string{
				"AWS_ACCESS_KEY_ID=" + s.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s.SecretKey, "AWS_REGION=" + s.Region,
			},
		},
		service: service,
		ttl:     ttl,
		locks:   locks,
	}
}

// prepare ends the test if it must not or cannot run here.
func prepare(t *testing.T) {
	t.Helper()
	require.Long(t)
	needHAProxy(t)
	t.Parallel()
}

// scale is how long and how large a run is.
type scale struct {
	time     time.Duration // with faults, and what follows
	measured time.Duration // of it, at the end, without faults
	clients  int
	quiet    time.Duration // between two faults: HAProxy finds the nodes again, and clients go on
	pace     int64         // bytes per second of the slowest upload
	longest  int64         // seconds of the longest upload
	pause    time.Duration // the longest time between two uploads of a client
	mostSent float64       // bytes that may be sent for each byte uploaded
}

// faults is how long rounds of faults begin. One takes about a minute, and the time between
// its faults. A lease lives for ttl without renewal.
func (s scale) faults(ttl time.Duration) time.Duration {
	return s.time - s.measured - 2*ttl - time.Minute - time.Duration(len(faultKinds))*s.quiet
}

// scaleOf returns the scale that the environment names. The short one is for CI.
func scaleOf(t *testing.T) scale {
	t.Helper()
	long, err := time.ParseDuration(cmp.Or(os.Getenv("TUSD_TEST_CLUSTER_TIME"), "0s"))
	if err != nil {
		t.Fatal(err)
	}
	if long < 3*time.Minute {
		return scale{
			time: max(long, 100*time.Second), measured: 20 * time.Second, clients: 12,
			quiet: 3 * time.Second, pace: 64 << 10, longest: 30, pause: time.Second / 2,
			mostSent: 1.3, // there is a fault most of the time
		}
	}
	return scale{
		time: long, measured: time.Minute, clients: 200,
		quiet: 15 * time.Second, pace: 8 << 10, longest: 60, pause: 10 * time.Second,
		mostSent: 1.1,
	}
}

// seedOf returns the seed that the environment names, or a new one.
func seedOf(t *testing.T) uint64 {
	seed, err := strconv.ParseUint(os.Getenv("TUSD_TEST_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64N(1e9)
	}
	t.Logf("repeat with TUSD_TEST_SEED=%d", seed)
	return seed
}

// endLimit bounds the time until all clients have ended, after the last one may begin an
// upload.
const endLimit = 2 * time.Minute

// run lets clients upload while faults happen, and checks what they got.
func run(t *testing.T, v variant) {
	seed, size := seedOf(t), scaleOf(t)
	c := startCluster(t, v, seed)
	l := startLoad(c, seed, size)
	began := time.Now()
	random := rand.New(rand.NewPCG(seed, 0))
	for first := true; first || time.Since(began) < size.faults(v.ttl); first = false {
		plan := newRound(random, v.service != nil, v.ttl)
		t.Logf("plan: %v", plan)
		for _, f := range plan {
			c.inject(f)
			time.Sleep(size.quiet)
		}
	}
	time.Sleep(2 * v.ttl) // leases of killed processes expire
	l.counts.measure(true)
	time.Sleep(size.measured)
	l.counts.measure(false)
	l.end()
	t.Log(l.counts)
	if n := l.failures.Load(); n > 0 {
		t.Errorf("%d uploads failed", n)
	}
	if err := l.counts.check(size.mostSent); err != nil {
		t.Error(err)
	}
	if n := l.failures.Load(); n == 0 {
		c.checkEvents(l.known)
	}
	for _, n := range c.nodes {
		if err := n.checkLog(n.log()); err != nil {
			t.Errorf("%v:\n%s", err, n.log())
		}
	}
}

// load is all clients.
type load struct {
	*testing.T
	counts  *counts
	known   *known
	more    context.CancelFunc // no client begins another upload
	goOn    context.CancelFunc // every client ends
	running sync.WaitGroup

	failures atomic.Int64 // uploads that failed
}

// startLoad starts the clients. They end with the test.
func startLoad(c *cluster, seed uint64, size scale) *load {
	l := &load{T: c.T, counts: newCounts(), known: &known{uploads: make(map[string]eventcheck.Upload)}}
	more, cancelMore := context.WithCancel(context.Background())
	mayGoOn, cancelGoOn := context.WithCancel(context.Background())
	l.more, l.goOn = cancelMore, cancelGoOn
	comparing := make(chan struct{}, 8)
	for i := range size.clients {
		one := &client{
			Client: tusclient.New(c.address), counts: l.counts, known: l.known, rand: rand.New(rand.NewPCG(seed, uint64(i+1))),
			pace: size.pace, longest: size.longest, pause: size.pause, mayGoOn: mayGoOn, comparing: comparing,
		}
		l.running.Go(func() { one.work(more, l.failed) })
	}
	c.Cleanup(func() {
		l.more()
		l.goOn()
		l.running.Wait()
	})
	return l
}

// maxShown is how many uploads that failed are shown.
const maxShown = 10

// failed fails the test. It is called by clients.
func (l *load) failed(err error) {
	if n := l.failures.Add(1); n <= maxShown {
		l.Error(err)
	} else {
		l.Fail()
	}
}

// end lets every client complete what it uploads. Those that are not ready in time are
// stuck, which is an error.
func (l *load) end() {
	l.more()
	limit := time.AfterFunc(endLimit, l.goOn)
	defer limit.Stop()
	l.running.Wait()
}

// outageText is in the line that a node logs when it cannot reach the lock service.
const outageText = "lock service is unreachable"

// checkLog checks what a node has logged: no panic, and a line whenever it was cut off from
// the lock service. It must not be a line for each request. There may be some more:
// on a loaded machine, a service has outages of its own.
func (n *node) checkLog(log string) error {
	for _, bad := range []string{"panic", "goroutine "} {
		if strings.Contains(log, bad) {
			return fmt.Errorf("%s logs %q", n.name, bad)
		}
	}
	lines := strings.Count(log, outageText)
	if most := 4 * (1 + n.cuts + n.otherOutages); lines < n.cuts || lines > most {
		return fmt.Errorf("%s logs %d outages of the lock service, want %d to %d", n.name, lines, n.cuts, most)
	}
	return nil
}
