//go:build linux

package clustertest

import (
	"cmp"
	"context"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tus/tusd/internal/faulttest"
	"github.com/tus/tusd/internal/require"
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
	run(t, variant{launch: faulttest.Launch{
		Binary: builder.Binary(t, ""),
		Dir:    filepath.Join(t.TempDir(), "uploads"),
		Flags:  []string{"-locker", "file"},
	}})
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
	pace     int64         // bytes per second of the slowest upload
	pause    time.Duration // the longest time between two uploads of a client
}

// faults is how long rounds of faults begin. One takes about a minute.
func (s scale) faults() time.Duration { return s.time - s.measured - settleTime - time.Minute }

// scaleOf returns the scale that the environment names. The short one is for CI.
func scaleOf(t *testing.T) scale {
	t.Helper()
	long, err := time.ParseDuration(cmp.Or(os.Getenv("TUSD_TEST_CLUSTER_TIME"), "0s"))
	if err != nil {
		t.Fatal(err)
	}
	if long < 3*time.Minute {
		return scale{time: max(long, 100*time.Second), measured: 20 * time.Second, clients: 20, pace: 64 << 10, pause: time.Second / 2}
	}
	return scale{time: long, measured: time.Minute, clients: 200, pace: 16 << 10, pause: 5 * time.Second}
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

// Times of a run.
const (
	// quietTime is between two faults: HAProxy finds the nodes again, and clients go on.
	quietTime = 3 * time.Second
	// settleTime is between the last fault and the time that is measured: leases of
	// killed processes expire.
	settleTime = 2 * leaseTTL
	// endLimit bounds the time until all clients have ended, after the last one may begin
	// an upload.
	endLimit = 2 * time.Minute
)

// run lets clients upload while faults happen, and checks what they got.
func run(t *testing.T, v variant) {
	seed, size := seedOf(t), scaleOf(t)
	c := startCluster(t, v)
	l := startLoad(c, seed, size)
	began := time.Now()
	random := rand.New(rand.NewPCG(seed, 0))
	for first := true; first || time.Since(began) < size.faults(); first = false {
		plan := newRound(random, v.service != nil)
		t.Logf("plan: %v", plan)
		for _, f := range plan {
			c.inject(f)
			time.Sleep(quietTime)
		}
	}
	time.Sleep(settleTime)
	l.counts.measure(true)
	time.Sleep(size.measured)
	l.counts.measure(false)
	l.end()
	t.Log(l.counts)
	l.check()
	c.checkLogs()
}

// load is all clients.
type load struct {
	*testing.T
	counts  *counts
	more    context.CancelFunc // no client begins another upload
	goOn    context.CancelFunc // every client ends
	running sync.WaitGroup
}

// startLoad starts the clients. They end with the test.
func startLoad(c *cluster, seed uint64, size scale) *load {
	l := &load{T: c.T, counts: newCounts()}
	more, cancelMore := context.WithCancel(context.Background())
	mayGoOn, cancelGoOn := context.WithCancel(context.Background())
	l.more, l.goOn = cancelMore, cancelGoOn
	comparing := make(chan struct{}, 8)
	for i := range size.clients {
		one := &client{
			Client: tusclient.New(c.address), counts: l.counts, rand: rand.New(rand.NewPCG(seed, uint64(i+1))),
			pace: size.pace, pause: size.pause, mayGoOn: mayGoOn, comparing: comparing,
		}
		l.running.Go(func() { one.work(more, func(err error) { l.Error(err) }) })
	}
	c.Cleanup(func() {
		l.more()
		l.goOn()
		l.running.Wait()
	})
	return l
}

// end lets every client complete what it uploads. Those that are not ready in time are
// stuck, which is an error.
func (l *load) end() {
	l.more()
	limit := time.AfterFunc(endLimit, l.goOn)
	defer limit.Stop()
	l.running.Wait()
}

// check checks the numbers of the whole run.
func (l *load) check() {
	all, failed := l.counts.quietErrors()
	l.Logf("without faults: %d of %d answers are errors", failed, all)
	if all == 0 || failed*100 > all {
		l.Errorf("without faults: %d of %d answers are 5xx, 423 or none, want at most 1 in 100", failed, all)
	}
	if l.counts.complete == 0 {
		l.Error("no upload is complete")
	}
	if float64(l.counts.sent) > 1.1*float64(l.counts.uploaded) {
		l.Errorf("%d bytes sent for %d bytes uploaded, want at most 1.1 times as many", l.counts.sent, l.counts.uploaded)
	}
}

// checkLogs checks what the nodes have logged.
func (c *cluster) checkLogs() {
	for _, n := range c.nodes {
		log := n.log()
		for _, bad := range []string{"panic", "goroutine "} {
			if strings.Contains(log, bad) {
				c.Errorf("%s logs %q:\n%s", n.name, bad, log)
			}
		}
	}
}
