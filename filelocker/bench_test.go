package filelocker

import (
	"context"
	"fmt"
	"testing"

	"github.com/tus/tusd"
)

func BenchmarkLockUnlock(b *testing.B) {
	for _, others := range []int{0, 100, 2000} {
		b.Run(fmt.Sprintf("beside=%d", others), func(b *testing.B) {
			l := New(b.TempDir())
			for i := range others {
				defer mustLock(b, l, fmt.Sprint("other-", i), tusd.LockTry).Unlock(b.Context())
			}
			b.ReportAllocs()
			for b.Loop() {
				mustLock(b, l, "a", tusd.LockTry).Unlock(b.Context())
			}
		})
	}
}

// BenchmarkLocalLocker measures the lock within the process alone.
func BenchmarkLocalLocker(b *testing.B) {
	var l tusd.LocalLocker
	b.ReportAllocs()
	for b.Loop() {
		mustLock(b, &l, "a", tusd.LockTry).Unlock(b.Context())
	}
}

// BenchmarkPreemptHolders measures the work of the watcher every 40 ms.
func BenchmarkPreemptHolders(b *testing.B) {
	for _, held := range []int{1, 2000} {
		b.Run(fmt.Sprintf("held=%d", held), func(b *testing.B) {
			l := New(b.TempDir())
			for i := range held {
				defer mustLock(b, l, fmt.Sprint("upload-", i), tusd.LockTry).Unlock(b.Context())
			}
			for b.Loop() {
				l.preemptHolders(l.dir)
			}
		})
	}
}

func mustLock(tb testing.TB, l tusd.Locker, id string, mode tusd.LockMode) tusd.Lease {
	tb.Helper()
	lease, err := l.Lock(context.Background(), id, mode)
	if err != nil {
		tb.Fatalf("lock %s: %v", id, err)
	}
	return lease
}
