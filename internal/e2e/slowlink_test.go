//go:build linux

package e2e

import "testing"

// On a slow link an upload takes longer than -network-timeout. It always makes progress,
// so it is not interrupted.
const (
	slowRate = 256 << 10 // bytes per second
	slowSize = 2*mib + 1 // over 8 s
	slowIdle = "5s"
)

func TestClientsUploadOverSlowLink(t *testing.T) {
	t.Parallel()
	for _, client := range jsClients {
		t.Run("plain/"+client, func(t *testing.T) {
			t.Parallel()
			overSlowLink(t, slowSize, 1, func(r *relay, file string) string {
				return upload(t, r, job{Client: client, File: file})
			})
		})
	}
	for _, client := range parallelClients {
		t.Run("parallel/"+client, func(t *testing.T) {
			t.Parallel()
			overSlowLink(t, 3*slowSize, 4, func(r *relay, file string) string {
				return upload(t, r, job{Client: client, File: file, Options: map[string]any{"parallelUploads": 3}})
			})
		})
	}
}

func TestTuspyUploadsOverSlowLink(t *testing.T) {
	t.Parallel()
	needTuspy(t)
	overSlowLink(t, slowSize, 1, func(r *relay, file string) string {
		return newTuspyJob(r, file, nil).run(t)
	})
}

// overSlowLink uploads size bytes over a slow link, with posts creations.
func overSlowLink(t *testing.T, size int64, posts int, upload func(r *relay, file string) (url string)) {
	t.Helper()
	s := startService(t, t.TempDir(), "-network-timeout", slowIdle)
	s.pace(slowRate)
	file, sum := writeContent(t, size)
	wantContent(t, upload(s.relay, file), sum)
	wantPosts(t, s.relay, posts)
	if len(s.seen("HEAD")) != 0 {
		t.Error("an upload with progress was interrupted")
		logExchanges(t, s.relay)
	}
}
