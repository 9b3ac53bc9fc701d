//go:build linux

package e2e

import (
	"net/http"
	"sync"
	"testing"

	"github.com/tus/tusd/internal/faulttest"
)

// TestClientsWaitForDiskSpace fills the disk in the middle of an upload. The client gets
// 507, retries, and continues when there is space again.
func TestClientsWaitForDiskSpace(t *testing.T) {
	faulttest.NeedMounts(t)
	for _, client := range jsClients {
		t.Run(client, func(t *testing.T) {
			disk := faulttest.NewTmpfs(t, 16*mib)
			s := startService(t, disk.Dir)
			filled := make(chan func() error, 1)
			s.after(lossAt, func() {
				free, err := disk.Fill()
				if err != nil {
					t.Error(err)
				}
				filled <- free
			})
			var once sync.Once // a client may retry before there is space
			s.onAnswer(func(e exchange) {
				if e.Status == http.StatusInsufficientStorage {
					once.Do(func() {
						if err := (<-filled)(); err != nil {
							t.Error(err)
						}
					})
				}
			})
			file, sum := writeContent(t, lossSize)
			wantContent(t, upload(t, s.relay, job{Client: client, File: file}), sum)
			wantPosts(t, s.relay, 1)
			if len(filled) != 0 {
				t.Error("no request was answered with 507")
			}
		})
	}
}
