//go:build linux

package etcdlocker

import (
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/lockservices"
)

func BenchmarkLock(b *testing.B) {
	lockservices.BenchmarkLock(b, join(b, lockservices.Etcd(b), "bench"))
}

func BenchmarkHandOver(b *testing.B) {
	etcd := lockservices.Etcd(b)
	lockservices.BenchmarkHandOver(b, [2]tusd.Locker{join(b, etcd, "bench"), join(b, etcd, "bench")})
}

func BenchmarkParallel(b *testing.B) {
	lockservices.BenchmarkParallel(b, join(b, lockservices.Etcd(b), "bench"))
}
