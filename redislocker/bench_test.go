package redislocker

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/lease"
	"github.com/tus/tusd/internal/lockservices"
)

func BenchmarkLock(b *testing.B) {
	lockservices.BenchmarkLock(b, connect(b, settled(b).Addr(), Options{}))
}

func BenchmarkHandOver(b *testing.B) {
	address := settled(b).Addr()
	lockservices.BenchmarkHandOver(b, [2]tusd.Locker{connect(b, address, Options{}), connect(b, address, Options{})})
}

func BenchmarkParallel(b *testing.B) {
	lockservices.BenchmarkParallel(b, connect(b, settled(b).Addr(), Options{}))
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
