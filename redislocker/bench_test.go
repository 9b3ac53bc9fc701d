package redislocker

import (
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/lease"
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

// cpuTime returns the CPU time of the thread of Redis that does all commands, with their
// messages.
func cpuTime(b *testing.B, l *RedisLocker) (total time.Duration) {
	b.Helper()
	info, err := l.service.client.Info(b.Context(), "cpu").Result()
	if err != nil {
		b.Fatal(err)
	}
	found := regexp.MustCompile(`used_cpu_(?:sys|user)_main_thread:([0-9.]+)`).FindAllStringSubmatch(info, -1)
	if len(found) != 2 {
		b.Fatalf("Redis does not tell its time:\n%s", info)
	}
	for _, part := range found {
		d, err := time.ParseDuration(part[1] + "s")
		if err != nil {
			b.Fatal(err)
		}
		total += d
	}
	return total
}

// BenchmarkServerTime measures how long Redis, which does one thing at a time, computes for
// a lock and its release.
func BenchmarkServerTime(b *testing.B) {
	l := connect(b, settled(b).Addr(), Options{})
	lockOnce(b, l)
	begun := cpuTime(b, l)
	for i := 0; b.Loop(); i++ {
		mustUnlock(b, mustLock(b, l, fmt.Sprint(i), tusd.LockPreempt))
	}
	b.ReportMetric(float64((cpuTime(b, l)-begun).Microseconds())/float64(b.N), "redis-cpu-µs/op")
}

// BenchmarkServerTimeOfRenewals measures the same for the renewal of 10 000 locks, all of a
// process.
func BenchmarkServerTimeOfRenewals(b *testing.B) {
	l := connect(b, settled(b).Addr(), Options{TTL: 10 * time.Second}) // the locks live until the first renewal
	lockOnce(b, l)
	var held []*lease.Request
	for i := range 10_000 {
		r := &lease.Request{ID: fmt.Sprint(i), Mode: tusd.LockTry, Token: fmt.Sprint(i)}
		if _, err := l.service.Try(b.Context(), r); err != nil {
			b.Fatal(err)
		}
		held = append(held, r)
	}
	begun := cpuTime(b, l)
	for b.Loop() {
		if lost, err := l.service.Renew(b.Context(), held); err != nil || len(lost) != 0 {
			b.Fatal(len(lost), err)
		}
	}
	b.ReportMetric(float64((cpuTime(b, l)-begun).Microseconds())/float64(b.N), "redis-cpu-µs/op")
}

// BenchmarkParallel measures locks and unlocks of 64 requests at the same time.
func BenchmarkParallel(b *testing.B) {
	l := connect(b, settled(b).Addr(), Options{})
	lockOnce(b, l)
	b.ResetTimer()
	var ids atomic.Int64
	b.SetParallelism(64 / runtime.GOMAXPROCS(0))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			mustUnlock(b, mustLock(b, l, fmt.Sprint(ids.Add(1)), tusd.LockPreempt))
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "locks/s")
}
