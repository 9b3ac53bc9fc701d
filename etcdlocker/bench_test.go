//go:build linux

package etcdlocker

import (
	"context"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/lockservices"
)

// report reports percentiles of durations, in milliseconds.
func report(b *testing.B, durations []time.Duration) {
	slices.Sort(durations)
	for _, p := range []int{50, 95} {
		b.ReportMetric(durations[len(durations)*p/100].Seconds()*1000, "p"+strconv.Itoa(p)+"-ms")
	}
}

// BenchmarkLock locks and unlocks ids that are free.
func BenchmarkLock(b *testing.B) {
	n := join(b, lockservices.Etcd(b), "bench")
	var durations []time.Duration
	for i := 0; b.Loop(); i++ {
		began := time.Now()
		s, err := n.Lock(context.Background(), strconv.Itoa(i%1000), tusd.LockPreempt)
		if err != nil {
			b.Fatal(err)
		}
		unlock(b, s)
		durations = append(durations, time.Since(began))
	}
	report(b, durations)
}

// BenchmarkHandOver hands a lock over between two nodes: from the call of Lock until its
// grant. The holder unlocks as soon as it is preempted.
func BenchmarkHandOver(b *testing.B) {
	etcd := lockservices.Etcd(b)
	nodes := []node{join(b, etcd, "bench"), join(b, etcd, "bench")}
	held := mustLock(b, nodes[1], "a")
	var durations []time.Duration
	for i := 0; b.Loop(); i++ {
		unlocked := make(chan error, 1)
		go func() {
			<-held.Preempted()
			unlocked <- held.Unlock(context.Background())
		}()
		began := time.Now()
		next := mustLock(b, nodes[i%2], "a")
		durations = append(durations, time.Since(began))
		if err := <-unlocked; err != nil {
			b.Fatal(err)
		}
		held = next
	}
	unlock(b, held)
	report(b, durations)
}

// BenchmarkParallel measures locks and unlocks of 64 requests at the same time.
func BenchmarkParallel(b *testing.B) {
	n := join(b, lockservices.Etcd(b), "bench")
	unlock(b, mustLock(b, n, "first"))
	b.ResetTimer()
	var ids atomic.Int64
	b.SetParallelism(64 / runtime.GOMAXPROCS(0))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			unlock(b, mustLock(b, n, strconv.FormatInt(ids.Add(1), 10)))
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "locks/s")
}
