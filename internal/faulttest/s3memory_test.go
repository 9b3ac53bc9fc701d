//go:build linux

package faulttest

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/s3server"
)

// TestMemoryOfUploadsToS3 runs many uploads at a time into a bucket: they use at most the
// memory of the buffer pool, and no disk.
func TestMemoryOfUploadsToS3(t *testing.T) {
	require.Long(t)
	const (
		uploads = 50
		size    = 8 << 20
		pool    = 64 << 20
		others  = 100 << 20 // the program, its connections and garbage
	)
	t.Parallel()
	service := s3server.Start(t, s3server.Options{Discard: 1 << 20})
	temp := t.TempDir()
	daemon := Start(t, Launch{
		Binary: builder.Binary(t, ""),
		Flags:  []string{"-s3-bucket", service.Bucket(), "-s3-endpoint", service.URL, "-s3-buffer-memory", fmt.Sprint(pool)},
		Env: []string{
			"AWS_ACCESS_KEY_ID=" + service.AccessKey(), "AWS_SECRET_ACCESS_KEY=secret", "AWS_REGION=us-east-1", "TMPDIR=" + temp,
		},
	})
	client, body := daemon.Client(), make([]byte, size)
	var work sync.WaitGroup
	for range uploads {
		work.Go(func() {
			created, err := client.Create(size)
			if err != nil {
				t.Error(err)
				return
			}
			if stored, err := client.Patch(created.Path(), 0, body); err != nil || stored.Status != http.StatusNoContent {
				t.Errorf("PATCH: %v, error %v", stored, err)
			}
		})
	}
	work.Wait()
	peak := daemon.procValue(t, "status", "VmHWM:") << 10
	t.Logf("at most %d bytes were resident", peak)
	if peak > pool+others {
		t.Errorf("at most %d bytes were resident, want %d and %d for the rest", peak, pool, others)
	}
	if written := daemon.procValue(t, "io", "write_bytes:"); written > 0 {
		t.Errorf("%d bytes were written to a disk", written)
	}
	filepath.WalkDir(temp, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			t.Errorf("%s is left in the directory for temporary files, error %v", path, err)
		}
		return nil
	})
}

// procValue reads a number from /proc/PID/file.
func (d *Daemon) procValue(t *testing.T, file, name string) (n int64) {
	t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", d.cmd.Process.Pid, file))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut("\n"+string(content), "\n"+name)
	if _, err := fmt.Sscan(rest, &n); !found || err != nil {
		t.Fatalf("%s has no %s: %v", file, name, err)
	}
	return n
}
