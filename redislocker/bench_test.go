package redislocker

import (
	"slices"
	"testing"
	"time"

	"github.com/tus/tusd"
)

// report reports the median and the 95th percentile of times.
func report(b *testing.B, times []time.Duration) {
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(times[len(times)*95/100].Microseconds())/1000, "p95-ms")
}

// BenchmarkLock measures lock and unlock without contention.
func BenchmarkLock(b *testing.B) {
	l := connect(b, settled(b).Addr(), Options{})
	var times []time.Duration
	for b.Loop() {
		begun := time.Now()
		mustUnlock(b, mustLock(b, l, "a", tusd.LockPreempt))
		times = append(times, time.Since(begun))
	}
	report(b, times)
}

// BenchmarkHandOver measures the time from a LockPreempt until its grant, if a holder in
// another process unlocks at once.
func BenchmarkHandOver(b *testing.B) {
	server := settled(b)
	lockers := []tusd.Locker{connect(b, server.Addr(), Options{}), connect(b, server.Addr(), Options{})}
	holder := mustLock(b, lockers[0], "a", tusd.LockPreempt)
	var times []time.Duration
	for i := 1; b.Loop(); i++ {
		go func(holder tusd.Lease) {
			<-holder.Preempted()
			holder.Unlock(b.Context())
		}(holder)
		begun := time.Now()
		holder = mustLock(b, lockers[i%2], "a", tusd.LockPreempt)
		times = append(times, time.Since(begun))
	}
	mustUnlock(b, holder)
	report(b, times)
}
