//go:build linux

package e2e

import (
	"net/http"
	"sync"
	"testing"

	"github.com/tus/tusd/internal/faulttest"
)

// TestClientsWaitForRoom fills the disk in the middle of an upload. The
// client is told so, comes back, and goes on when there is room again.
func TestClientsWaitForRoom(t *testing.T) {
	faulttest.NeedMounts(t)
	for _, client := range jsClients {
		t.Run(client, func(t *testing.T) {
			disk := faulttest.NewTmpfs(t, 16*mib)
			s := startService(t, disk.Dir)
			room := make(chan func() error, 1)
			s.after(lossAt, func() {
				makeRoom, err := disk.Fill()
				if err != nil {
					t.Error(err)
				}
				room <- makeRoom
			})
			var once sync.Once // a client may be back before there is room
			s.onAnswer(func(e exchange) {
				if e.Status == http.StatusInsufficientStorage {
					once.Do(func() {
						if err := (<-room)(); err != nil {
							t.Error(err)
						}
					})
				}
			})
			file, sum := writeContent(t, lossSize)
			wantContent(t, upload(t, s.relay, job{Client: client, File: file}), sum)
			wantPosts(t, s.relay, 1)
			if len(room) != 0 {
				t.Error("no request was answered with 507")
			}
		})
	}
}
