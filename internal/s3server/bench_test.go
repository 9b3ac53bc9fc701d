package s3server_test

import (
	"testing"

	"github.com/tus/tusd/internal/s3server"
)

func BenchmarkPart(b *testing.B) {
	for name, discard := range map[string]int64{"kept": 0, "discarded": 1} {
		b.Run(name, func(b *testing.B) {
			c := startWith(b, s3server.Options{Discard: discard})
			id, data := c.begin("a"), content(1, 8<<20)
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				_, err := c.part("a", id, 1, data)
				mustSucceed(b, err)
			}
		})
	}
}
