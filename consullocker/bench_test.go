//go:build linux

package consullocker

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/lockservices"
)

// report reports the median and the 95th percentile of times.
func report(b *testing.B, times []time.Duration) {
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(times[len(times)*95/100].Microseconds())/1000, "p95-ms")
}

// BenchmarkLock measures lock and unlock without contention.
func BenchmarkLock(b *testing.B) {
	l := newLocker(b, newClient(b, lockservices.Consul(b).Addr()), Options{})
	var times []time.Duration
	for b.Loop() {
		begun := time.Now()
		unlock(b, lock(b, l, "a", tusd.LockPreempt))
		times = append(times, time.Since(begun))
	}
	report(b, times)
}

// BenchmarkHandOver measures the time from a LockPreempt until its grant, if a holder in
// another process unlocks at once.
func BenchmarkHandOver(b *testing.B) {
	client := newClient(b, lockservices.Consul(b).Addr())
	lockers := []*ConsulLocker{newLocker(b, client, Options{}), newLocker(b, client, Options{})}
	holder := lock(b, lockers[0], "a", tusd.LockPreempt)
	var times []time.Duration
	for i := 1; b.Loop(); i++ {
		go func(holder tusd.Lease) {
			<-holder.Preempted()
			holder.Unlock(b.Context())
		}(holder)
		begun := time.Now()
		holder = lock(b, lockers[i%2], "a", tusd.LockPreempt)
		times = append(times, time.Since(begun))
	}
	unlock(b, holder)
	report(b, times)
}

// BenchmarkKilledHolder measures the time from the death of a process until another one has
// its lock, with the default time to live.
func BenchmarkKilledHolder(b *testing.B) {
	address := lockservices.Consul(b).Addr()
	l := newLocker(b, newClient(b, address), Options{TTL: defaultTTL})
	unlock(b, lock(b, l, "a", tusd.LockTry))
	var times []time.Duration
	for b.Loop() {
		holder := startWith(b, address, "tusd", defaultTTL)
		holder.lock("a")
		holder.kill()
		begun := time.Now()
		unlock(b, lock(b, l, "a", tusd.LockPreempt))
		times = append(times, time.Since(begun))
	}
	report(b, times)
}

// BenchmarkHeldLocks counts the requests to Consul while 10 000 locks are held, with the
// default time to live.
func BenchmarkHeldLocks(b *testing.B) {
	network, client := newRecorder(b, lockservices.Consul(b).Addr())
	l := newLocker(b, client, Options{TTL: defaultTTL})
	const locks = 10_000
	ids := make(chan int)
	var workers sync.WaitGroup
	for range 50 {
		workers.Go(func() {
			for id := range ids {
				lock(b, l, fmt.Sprint(id), tusd.LockPreempt)
			}
		})
	}
	begun := time.Now()
	for id := range locks {
		ids <- id
	}
	close(ids)
	workers.Wait()
	rate := locks / time.Since(begun).Seconds()
	begun = time.Now()
	before := network.requests.Load()
	for b.Loop() {
		<-time.After(10 * time.Second)
	}
	b.ReportMetric(float64(network.requests.Load()-before)/time.Since(begun).Seconds(), "requests/s")
	b.ReportMetric(rate, "locks/s")
	if stats := l.Stats(); stats.Held != locks || stats.Lost != 0 {
		b.Errorf("%+v", stats)
	}
}

// BenchmarkParallel measures locks and unlocks of 64 requests at the same time.
func BenchmarkParallel(b *testing.B) {
	l := newLocker(b, newClient(b, lockservices.Consul(b).Addr()), Options{})
	unlock(b, lock(b, l, "first", tusd.LockTry))
	b.ResetTimer()
	var ids atomic.Int64
	b.SetParallelism(64 / runtime.GOMAXPROCS(0))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			unlock(b, lock(b, l, fmt.Sprint(ids.Add(1)), tusd.LockPreempt))
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "locks/s")
}
