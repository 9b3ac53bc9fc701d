//go:build linux

package hostiletest

import (
	"strings"
	"testing"
)

// TestCachesAreBounded creates uploads whose records of 12 KiB each are together larger
// than the caches.
func TestCachesAreBounded(t *testing.T) {
	t.Parallel()
	const noise = 2 << 20
	for name, begin := range map[string]func(testing.TB, ...string) *target{"files": onFiles, "S3": onS3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := begin(t)
			a := newAttacker(t.Context(), t, to)
			text := a.head("POST", uploads, "Upload-Length: 1", "Upload-Metadata: a "+strings.Repeat("AAAA", 3000), "Content-Length: 0")
			err := a.parallel(8, func(int) error {
				conn, err := a.dial()
				for i := 0; i < 3000/8 && err == nil; i++ {
					_, err = roundTrip(conn, "POST", text)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			a.closeAll()
			now, err := to.measure()
			if err != nil {
				t.Fatal(err)
			}
			made := now.created - to.idle.created
			t.Logf("%d uploads: %.1f MiB more", made, mib(now.heap-to.idle.heap))
			if more := now.heap - to.idle.heap; more > cacheBudget+noise {
				t.Errorf("%d uploads leave %.1f MiB, want at most %.1f", made, mib(more), mib(cacheBudget+noise))
			}
		})
	}
}
