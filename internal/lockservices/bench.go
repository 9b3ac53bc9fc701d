package lockservices

import (
	"context"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
)

// Benchmarks of lockers, the same for each service.

// BenchmarkLock measures lock and unlock without contention.
func BenchmarkLock(b *testing.B, l tusd.Locker) {
	mustUnlock(b, mustLock(b, l, "first"))
	var times []time.Duration
	for b.Loop() {
		begun := time.Now()
		mustUnlock(b, mustLock(b, l, "a"))
		times = append(times, time.Since(begun))
	}
	ReportPercentiles(b, times)
}

// BenchmarkHandOver measures the time from a LockPreempt until its grant, if a holder in another
// process unlocks at once. The lockers are those of two processes.
func BenchmarkHandOver(b *testing.B, lockers [2]tusd.Locker) {
	holder := mustLock(b, lockers[0], "a")
	var times []time.Duration
	for i := 1; b.Loop(); i++ {
		unlocked := make(chan error, 1)
		go func() {
			<-holder.Preempted()
			unlocked <- holder.Unlock(context.Background())
		}()
		begun := time.Now()
		next := mustLock(b, lockers[i%2], "a")
		times = append(times, time.Since(begun))
		if err := <-unlocked; err != nil {
			b.Fatal(err)
		}
		holder = next
	}
	mustUnlock(b, holder)
	ReportPercentiles(b, times)
}

// BenchmarkParallel measures locks and unlocks of 64 requests at the same time.
func BenchmarkParallel(b *testing.B, l tusd.Locker) {
	mustUnlock(b, mustLock(b, l, "first"))
	b.ResetTimer()
	var ids atomic.Int64
	b.SetParallelism(64 / runtime.GOMAXPROCS(0))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			lease, err := l.Lock(context.Background(), strconv.FormatInt(ids.Add(1), 10), tusd.LockPreempt)
			if err == nil {
				err = lease.Unlock(context.Background())
			}
			if err != nil {
				b.Error(err) // not Fatal: this is not the goroutine of the benchmark
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "locks/s")
}

// ReportPercentiles reports the median and the 95th percentile of times.
func ReportPercentiles(b *testing.B, times []time.Duration) {
	slices.Sort(times)
	for _, p := range []int{50, 95} {
		b.ReportMetric(times[len(times)*p/100].Seconds()*1000, "p"+strconv.Itoa(p)+"-ms")
	}
}

func mustLock(b *testing.B, l tusd.Locker, id string) tusd.Lease {
	b.Helper()
	lease, err := l.Lock(b.Context(), id, tusd.LockPreempt)
	if err != nil {
		b.Fatal(err)
	}
	return lease
}

func mustUnlock(b *testing.B, lease tusd.Lease) {
	b.Helper()
	if err := lease.Unlock(b.Context()); err != nil {
		b.Fatal(err)
	}
}
