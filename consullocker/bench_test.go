//go:build linux

package consullocker

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/lockservices"
)

func BenchmarkLock(b *testing.B) {
	lockservices.BenchmarkLock(b, newLocker(b, newClient(b, lockservices.Consul(b).Addr()), Options{}))
}

func BenchmarkHandOver(b *testing.B) {
	client := newClient(b, lockservices.Consul(b).Addr())
	lockservices.BenchmarkHandOver(b, [2]tusd.Locker{newLocker(b, client, Options{}), newLocker(b, client, Options{})})
}

func BenchmarkParallel(b *testing.B) {
	lockservices.BenchmarkParallel(b, newLocker(b, newClient(b, lockservices.Consul(b).Addr()), Options{}))
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
	lockservices.ReportPercentiles(b, times)
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
