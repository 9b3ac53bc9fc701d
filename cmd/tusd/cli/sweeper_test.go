package cli

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd/internal/s3server"
)

// The first sweep comes within the interval, the others after an interval each. Two sweeps
// never overlap, and the end of the sweeper ends a running sweep.
func TestSweeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval = time.Hour
		var s sweeper
		began := time.Now()
		var starts []time.Duration
		running, ended := 0, false
		s.start(interval, func(ctx context.Context) {
			starts = append(starts, time.Since(began))
			if running++; running > 1 {
				t.Error("two sweeps run at the same time")
			}
			defer func() { running-- }()
			select {
			case <-time.After(3 * interval): // longer than the interval
			case <-ctx.Done():
				ended = true
			}
		})
		time.Sleep(10*interval + interval/2)
		s.cancel()
		if err := s.wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(starts) != 3 || starts[0] >= interval {
			t.Fatalf("sweeps began after %v", starts)
		}
		for i, start := range starts[1:] {
			if pause := start - starts[i] - 3*interval; pause < interval*9/10 || pause > interval*11/10 {
				t.Errorf("sweep %d begins %v after the end of the one before", i+2, pause)
			}
		}
		if !ended || running != 0 {
			t.Errorf("the running sweep was ended: %t, %d run", ended, running)
		}
	})
}

// wait does not wait longer than its context for a sweep that does not end.
func TestSweeperThatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sweeper
		blocked := make(chan struct{})
		s.start(time.Second, func(context.Context) { <-blocked })
		time.Sleep(2 * time.Second)
		s.cancel()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if s.wait(ctx) == nil {
			t.Error("wait returns before the sweep has ended")
		}
		close(blocked)
		synctest.Wait()
	})
}

// The daemon removes what the flags name, and logs each removal and a summary. A dry run
// removes nothing and logs what it would remove.
func TestDaemonSweeps(t *testing.T) {
	for _, dry := range []bool{false, true} {
		args := []string{"-sweep-interval", "50ms", "-sweep-never-started", "1ms"}
		message, count, left := "an upload was swept", " removed=1 ", http.StatusNotFound
		if dry {
			args = append(args, "-sweep-dry-run")
			message, count, left = "an upload would be swept", " would_remove=1 ", http.StatusOK
		}
		d := start(t, args...)
		location := create(t, http.DefaultClient, d.url, "5")
		id := strings.TrimPrefix(location, d.url)
		await(t, message, func() bool {
			for line := range strings.Lines(d.stdout.String()) {
				if strings.Contains(line, message) && strings.Contains(line, "id="+id) && strings.Contains(line, "class=never-started") {
					return true
				}
			}
			return false
		})
		await(t, "the summary", func() bool { return strings.Contains(d.stdout.String(), count) })
		tus(t, http.MethodHead, location, "").want(t, left)
		if code := d.end(t); code != exitOK {
			t.Errorf("exit code %d", code)
		}
		if strings.Contains(d.stdout.String(), "did not end in time") {
			t.Error("the sweeper does not end with the server")
		}
	}
}

// A server whose locks other processes do not see says at its start that sweeps wait.
func TestSweepsOfABucketWait(t *testing.T) {
	const said = "sweeps leave uploads in the bucket until 24 hours after their last change: the locks are in the memory of each process"
	service := s3server.Start(t, s3server.Options{})
	for _, c := range []struct {
		d    *testDaemon
		want int
	}{
		{startInBucket(t, service, "-sweep-interval", "24h", "-expire-after", "1h"), 1},
		{startInBucket(t, service), 0},
		{start(t, "-sweep-interval", "24h"), 0},
		{start(t, "-sweep-interval", "24h", "-locker", "memory"), 0}, // keeps others out
	} {
		c.d.address(t)
		if code := c.d.end(t); code != exitOK || strings.Count(c.d.stdout.String(), said) != c.want {
			t.Errorf("exit code %d, want the line %d times: %s", code, c.want, &c.d.stdout)
		}
	}
}

// -owner-metadata sets the owner of uploads.
func TestOwnerOfMetadata(t *testing.T) {
	dir := t.TempDir()
	d := start(t, "-upload-dir", dir, "-owner-metadata", "who")
	tus(t, http.MethodPost, d.url, "", "Upload-Length: 1", "Upload-Metadata: who Ym9i").want(t, http.StatusCreated)
	code, listed, _ := runCommand(t, "ls", "-json", "-upload-dir", dir)
	if code != exitOK || !strings.Contains(listed, `"owner":"bob"`) {
		t.Errorf("exit code %d: %s", code, listed)
	}
}

// An upload that expires is told when, and 410 follows.
func TestExpireAfter(t *testing.T) {
	d := start(t, "-expire-after", "1ms")
	location := create(t, http.DefaultClient, d.url, "5")
	await(t, "the upload to expire", func() bool { return tus(t, http.MethodHead, location, "").status == http.StatusGone })
}
