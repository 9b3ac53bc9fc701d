//go:build linux

package faulttest

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/internal/tusclient"
)

// slowUploads are uploads with an open PATCH.
type slowUploads struct {
	client  *tusclient.Client
	running []*tusclient.OpenRequest
	paths   []string
}

// open opens one more PATCH of length bytes and sends some of them.
func (s *slowUploads) open(length int64, sent []byte) error {
	created, err := s.client.Create(length)
	if err := errors.Join(err, created.Want("POST", http.StatusCreated)); err != nil {
		return err
	}
	running, err := s.client.OpenPatch(created.Path(), 0, length)
	if err != nil {
		return err
	}
	s.running, s.paths = append(s.running, running), append(s.paths, created.Path())
	_, err = running.Write(sent)
	return err
}

// end completes every second PATCH and aborts the others.
func (s *slowUploads) end(rest []byte) error {
	errs := make(chan error, len(s.running))
	var work sync.WaitGroup
	for i, running := range s.running {
		work.Go(func() { errs <- endUpload(running, rest, i%2 == 0) })
	}
	work.Wait()
	close(errs)
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	s.running = nil
	return errors.Join(all...)
}

func endUpload(running *tusclient.OpenRequest, rest []byte, complete bool) error {
	if !complete {
		return running.Abort()
	}
	if _, err := running.Write(rest); err != nil {
		return err
	}
	answer, err := running.Answer()
	return errors.Join(err, answer.Want("a slow PATCH", http.StatusNoContent))
}

// handles counts the descriptors of the daemon by kind, and its goroutines.
func (d *Daemon) handles(t *testing.T) map[string]int {
	t.Helper()
	counts := map[string]int{"goroutines": d.metric(t, "go_goroutines")}
	dir := fmt.Sprintf("/proc/%d/fd", d.PID())
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		link, err := os.Readlink(filepath.Join(dir, entry.Name()))
		if err != nil {
			continue // closed meanwhile
		}
		counts[kindOf(link)]++
	}
	return counts
}

// kindOf returns the kind of a link in /proc/PID/fd: socket, pipe, file, [pidfd],
// [eventpoll].
func kindOf(link string) string {
	if strings.HasPrefix(link, "/") {
		return "file"
	}
	kind, of, _ := strings.Cut(link, ":")
	if kind == "anon_inode" {
		return of
	}
	return kind
}

// metric reads a whole number of /metrics.
func (d *Daemon) metric(t *testing.T, name string) int {
	t.Helper()
	answer, err := d.Client().Do(http.MethodGet, "/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^` + name + ` (\d+)$`).FindSubmatch(answer.Body)
	if found == nil {
		t.Fatalf("/metrics has no %s: %v", name, answer)
	}
	n, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// awaitAtMost waits until the daemon has at most limit handles of each kind, and returns
// their numbers.
func (d *Daemon) awaitAtMost(t *testing.T, limit map[string]int) map[string]int {
	t.Helper()
	for deadline := time.Now().Add(waitTimeout); ; time.Sleep(50 * time.Millisecond) {
		now := d.handles(t)
		exceeds := ""
		for kind, n := range now {
			if n > limit[kind] {
				exceeds = fmt.Sprintf("%d of %s", n, kind)
			}
		}
		if exceeds == "" {
			return now
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v there are %s: %v, before: %v", waitTimeout, exceeds, now, limit)
		}
	}
}

// idleHandles waits until the daemon is idle, and returns the most handles of each kind that
// it has then. Two samples of an idle daemon differ: the connection of the request for
// metrics may be open or closed when the descriptors are counted.
func (d *Daemon) idleHandles(t *testing.T) map[string]int {
	t.Helper()
	const samples = 50
	most := func() map[string]int {
		all := map[string]int{}
		for range samples {
			for kind, n := range d.handles(t) {
				all[kind] = max(all[kind], n)
			}
			time.Sleep(20 * time.Millisecond)
		}
		return all
	}
	last := most()
	for deadline := time.Now().Add(waitTimeout); ; {
		now := most()
		if maps.Equal(now, last) {
			return now
		}
		if last = now; time.Now().After(deadline) {
			t.Fatalf("the handles of an idle daemon change: %v", now)
		}
	}
}

// TestHandlesOfSlowUploads counts descriptors of each kind, and goroutines, of 1000 slow
// uploads: while they run, at most a number for each, and after they have ended or were
// aborted, as many as before.
func TestHandlesOfSlowUploads(t *testing.T) {
	require.Long(t)
	t.Parallel()
	service := s3server.New(s3server.Options{})
	plain := httptest.NewUnstartedServer(service)
	plain.Config.SetKeepAlivesEnabled(false) // so that no socket stays open
	plain.Start()
	t.Cleanup(plain.Close)
	for name, c := range map[string]struct {
		launch Launch
		each   map[string]int // handles of one slow upload
	}{
		"files": {Launch{Dir: filepath.Join(t.TempDir(), "uploads"), Flags: []string{"-durability", "none"}}, map[string]int{"socket": 1, "file": 1, "goroutines": 2}},
		"S3": {Launch{
			Flags: []string{"-s3-bucket", service.Bucket(), "-s3-endpoint", plain.URL},
			Env:   []string{"AWS_ACCESS_KEY_ID=" + service.AccessKey(), "AWS_SECRET_ACCESS_KEY=secret", "AWS_REGION=us-east-1"},
		}, map[string]int{"socket": 1, "goroutines": 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.launch.Binary = builder.Binary(t, "")
			daemon := Start(t, c.launch)
			runSlowUploads(t, daemon, 20) // to make what a daemon makes once
			before := daemon.idleHandles(t)
			during := runSlowUploads(t, daemon, slowCount)
			for kind, n := range daemon.handles(t) { // before a garbage collection, which would close leaked ones
				if strings.HasPrefix(kind, "[") && n > before[kind] {
					t.Errorf("%d of %s are open when all uploads have ended, before %d", n, kind, before[kind])
				}
			}
			t.Logf("before: %v\nduring: %v", before, during)
			for kind, n := range during {
				const others = 32 // threads in system calls, S3 calls that end, and the like
				if most := before[kind] + slowCount*c.each[kind] + others; n > most {
					t.Errorf("%d uploads take %d of %s, want at most %d", slowCount, n, kind, most)
				}
			}
			t.Logf("after: %v", daemon.awaitAtMost(t, before))
		})
	}
}

const (
	slowCount = 1000            // slow uploads at a time
	slowTime  = 2 * time.Second // how long they run at least: some work begins only after a while
)

// runSlowUploads runs n slow uploads at a time, and returns the handles of the daemon while
// all of them run.
func runSlowUploads(t *testing.T, daemon *Daemon, n int) map[string]int {
	t.Helper()
	slow := &slowUploads{client: daemon.Client()}
	body := make([]byte, 4096)
	for range n {
		if err := slow.open(2*int64(len(body)), body); err != nil {
			t.Fatal(err)
		}
	}
	daemon.awaitReceiving(t, n)
	<-time.After(slowTime)
	handles := daemon.handles(t)
	if err := slow.end(body); err != nil {
		t.Fatal(err)
	}
	daemon.awaitReceiving(t, 0)
	return handles
}

// awaitReceiving waits until the daemon is receiving n uploads.
func (d *Daemon) awaitReceiving(t *testing.T, n int) {
	t.Helper()
	deadline := time.Now().Add(waitTimeout)
	for d.metric(t, "tusd_uploads_receiving") != n {
		if time.Now().After(deadline) {
			t.Fatalf("%d uploads are received, not %d", d.metric(t, "tusd_uploads_receiving"), n)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
