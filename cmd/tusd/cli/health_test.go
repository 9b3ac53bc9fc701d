package cli

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
)

// get requests path from a handler.
func get(handler http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

// mustAnswer fails unless the answer has a status and contains words.
func mustAnswer(t *testing.T, handler http.Handler, path string, status int, words string) {
	t.Helper()
	w := get(handler, path)
	if w.Code != status || !strings.Contains(w.Body.String(), words) {
		t.Errorf("%s: %d %q, want %d with %q", path, w.Code, w.Body, status, words)
	}
}

var quiet = slog.New(slog.DiscardHandler)

// fakeCheck is a check that fails with err, and counts its calls.
type fakeCheck struct {
	err   atomic.Pointer[error] // nil: healthy
	calls atomic.Int64
}

// fail lets the check fail with a message; "": it succeeds.
func (c *fakeCheck) fail(message string) {
	if message == "" {
		c.err.Store(nil)
		return
	}
	err := errors.New(message)
	c.err.Store(&err)
}

func (c *fakeCheck) probe(name string) *probe {
	return &probe{name: name, check: func(context.Context) error {
		c.calls.Add(1)
		if err := c.err.Load(); err != nil {
			return *err
		}
		return nil
	}}
}

func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store, lock fakeCheck
		health := newHealthHandler(nil, quiet, store.probe("store"), lock.probe("lock"))
		mustAnswer(t, health, "/readyz", http.StatusOK, "store: ok\nlock: ok\n")

		broken := errors.New("it is gone")
		lock.err.Store(&broken)
		time.Sleep(2 * probeCacheTime)
		mustAnswer(t, health, "/readyz", http.StatusServiceUnavailable, "store: ok\nlock: it is gone\n")
		mustAnswer(t, health, "/healthz", http.StatusOK, "alive")

		lock.err.Store(nil)
		full := error(tusd.ErrNoSpace)
		store.err.Store(&full)
		time.Sleep(2 * probeCacheTime)
		mustAnswer(t, health, "/readyz", http.StatusOK, "store: ok, but "+full.Error())
		mustAnswer(t, health, "/files/x", http.StatusNotFound, "")
	})
}

func TestHealthWhileShuttingDown(t *testing.T) {
	stopping := make(chan struct{})
	close(stopping)
	health := newHealthHandler(stopping, quiet)
	mustAnswer(t, health, "/readyz", http.StatusServiceUnavailable, "shutting down")
	mustAnswer(t, health, "/healthz", http.StatusOK, "alive")
}

// Any number of requests causes one check per second.
func TestReadyIsCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store fakeCheck
		health := newHealthHandler(nil, quiet, store.probe("store"))
		for round := range int64(3) {
			var requests sync.WaitGroup
			for i := range 100 {
				requests.Go(func() {
					time.Sleep(time.Duration(i) * probeCacheTime / 100)
					mustAnswer(t, health, "/readyz", http.StatusOK, "ok")
				})
			}
			requests.Wait()
			if n := store.calls.Load(); n != round+1 {
				t.Errorf("the store was checked %d times in %d rounds", n, round+1)
			}
			time.Sleep(probeCacheTime)
		}
	})
}

// A check that hangs is reported within its timeout to all requests, and occupies one
// goroutine. When it returns, the server is ready.
func TestReadyWhileACheckHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		release := make(chan struct{})
		health := newHealthHandler(nil, quiet, &probe{name: "store", check: func(context.Context) error {
			calls.Add(1)
			<-release
			return nil
		}})
		for i := range 5 {
			started := time.Now()
			mustAnswer(t, health, "/readyz", http.StatusServiceUnavailable, "store: no answer in 2s")
			if took, want := time.Since(started), max(0, probeTimeout-time.Duration(i)*time.Hour); took != want {
				t.Errorf("answer %d took %v, want %v", i, took, want)
			}
			time.Sleep(time.Hour)
		}
		if n := calls.Load(); n != 1 {
			t.Errorf("%d probes hang, want one", n)
		}
		close(release)
		synctest.Wait()
		mustAnswer(t, health, "/readyz", http.StatusOK, "store: ok")
	})
}

// A client that disconnects before the answer does not make the server unready.
func TestReadyClientDisconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var lines bytes.Buffer
		health := newHealthHandler(nil, slog.New(slog.NewTextHandler(&lines, nil)), &probe{name: "store", check: func(context.Context) error {
			<-release
			return nil
		}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		health.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/readyz", nil))
		close(release)
		if lines.Len() > 0 {
			t.Errorf("logged: %s", &lines)
		}
	})
}

// The log has the whole error once. The answer has only the public message.
func TestReadyIsLoggedOnChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines bytes.Buffer
		var lock fakeCheck
		p := lock.probe("lock")
		p.publicError = "no lock can be acquired"
		health := newHealthHandler(nil, slog.New(slog.NewTextHandler(&lines, nil)), p)
		secret := errors.New("dial 10.1.2.3")
		lock.err.Store(&secret)
		for range 3 {
			if w := get(health, "/readyz"); w.Body.String() != "lock: no lock can be acquired\n" {
				t.Errorf("answer: %s", w.Body)
			}
			time.Sleep(2 * probeCacheTime)
		}
		lock.err.Store(nil)
		get(health, "/readyz")
		if got := lines.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, secret.Error()) || !strings.Contains(got, "ready again") {
			t.Errorf("logged: %s", got)
		}
	})
}

// What all servers share does not make a server unready: it is told in the answer, by the metric, and
// by one line for each outage and each recovery, whatever the errors are. A part of this
// server alone does.
func TestSharedOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines bytes.Buffer
		var store, lock, disk fakeCheck
		shared := store.probe("store")
		shared.shared, shared.publicError = true, "unreachable"
		service := lock.probe("lock")
		service.shared, service.logsItself = true, true
		health := newHealthHandler(nil, slog.New(slog.NewTextHandler(&lines, nil)), shared, service, disk.probe("disk"))
		metrics := newMetrics(inMemory(t).Metrics(), quiet, health.readiness.collector())
		for _, step := range []struct {
			store, lock, disk string
			status            int
			answer            string
			logged            string
		}{
			{"", "", "", 200, "store: ok\nlock: ok\ndisk: ok\n", ""},
			{"dial", "", "", 200, "store: unreachable (for all servers, so this one stays ready)\nlock: ok\ndisk: ok\n", "WARN dial"},
			{"timeout", "", "", 200, "store: unreachable", ""},
			{"timeout", "refused", "", 200, "lock: refused (for all servers, so this one stays ready)\n", ""},
			{"timeout", "refused", "gone", 503, "disk: gone\n", "WARN gone"},
			{"timeout", "refused", "", 200, "disk: ok\n", "WARN timeout"},
			{"", "refused", "", 200, "store: ok\n", "INFO reachable again"},
			{"", "", "gone", 503, "disk: gone\n", "WARN not ready"},
			{"", "", "", 200, "store: ok\nlock: ok\ndisk: ok\n", "INFO ready again"},
		} {
			store.fail(step.store)
			lock.fail(step.lock)
			disk.fail(step.disk)
			time.Sleep(2 * probeCacheTime)
			lines.Reset()
			for range 2 {
				mustAnswer(t, health, "/readyz", step.status, step.answer)
			}
			for name, message := range map[string]string{"store": step.store, "lock": step.lock, "disk": step.disk} {
				up := "1"
				if message != "" {
					up = "0"
				}
				mustAnswer(t, metrics, "/metrics", http.StatusOK, `tusd_probe_up{probe="`+name+`"} `+up)
			}
			level, text, _ := strings.Cut(step.logged, " ")
			if got := lines.String(); strings.Count(got, "\n") != min(len(step.logged), 1) || !strings.Contains(got, level) || !strings.Contains(got, text) {
				t.Errorf("%+v: logged %q", step, got)
			}
		}
	})
}

// A server that has never reached its lock service is not ready, because its settings may be
// wrong. That is logged without a request. Once it has had a lock, an outage concerns all
// servers.
func TestReadyNeedsTheLockServiceOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines bytes.Buffer
		service := leaseLocker{failures: 2}
		health := newHealthHandler(nil, slog.New(slog.NewTextHandler(&lines, nil)), lockerProbe(&service))
		_, overloaded := health.withoutContent()
		mustAnswer(t, overloaded, "/readyz", http.StatusServiceUnavailable, "")
		health.readiness.checkAtStart(t.Context())
		if got := lines.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "unreachable") {
			t.Errorf("logged at the start: %q", got)
		}
		time.Sleep(2 * probeCacheTime)
		if w := get(health, "/readyz"); w.Code != http.StatusServiceUnavailable || w.Body.String() != "lock: no lock can be acquired\n" {
			t.Errorf("never reached: %d %q", w.Code, w.Body)
		}
		time.Sleep(2 * probeCacheTime)
		mustAnswer(t, health, "/readyz", http.StatusOK, "lock: ok\n")
		mustAnswer(t, overloaded, "/readyz", http.StatusOK, "")

		service.failures = service.locks.Load() + 1
		time.Sleep(2 * probeCacheTime)
		mustAnswer(t, health, "/readyz", http.StatusOK, "lock: no lock can be acquired (for all servers, so this one stays ready)\n")
		calls := service.locks.Load()
		time.Sleep(2 * probeCacheTime)
		if health.readiness.checkAtStart(t.Context()); service.locks.Load() != calls {
			t.Error("a part that has worked is checked at the start")
		}
	})
}

// A lock service is shared by all servers, and its locker logs its outages. Another lock is of
// this server, like a directory.
func TestWhichProbesAreShared(t *testing.T) {
	for _, c := range []struct {
		probe *probe
		want  bool
	}{
		{lockerProbe(&leaseLocker{}), true},
		{lockerProbe(&tusd.LocalLocker{}), false},
		{storeProbe(filestore.New("")), false},
	} {
		if c.probe.shared != c.want || c.probe.logsItself != c.want || c.probe.unproven.Load() != c.want {
			t.Errorf("the probe %s is shared: %t, logs itself: %t, want %t", c.probe.name, c.probe.shared, c.probe.logsItself, c.want)
		}
	}
}

func TestProbesForFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "uploads")
	store := filestore.New(dir)
	locks := &tusd.LocalLocker{}
	if err := store.Open(t.Context(), tusd.Env{Locker: locks}); err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	mustAnswer(t, newHealthHandler(nil, quiet, storeProbe(store), lockerProbe(locks)), "/readyz", http.StatusOK, "store: ok\nlock: ok\n")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	mustAnswer(t, newHealthHandler(nil, quiet, storeProbe(store), lockerProbe(locks)), "/readyz", http.StatusServiceUnavailable, "store: filestore: the directory is gone\n")
}

// failingLocker is a locker whose Lock fails.
type failingLocker struct {
	tusd.Locker
	err error
}

func (r failingLocker) Lock(context.Context, string, tusd.LockMode) (tusd.Lease, error) {
	return nil, r.err
}

func TestProbeLocker(t *testing.T) {
	down := errors.New("down")
	locker := &tusd.LocalLocker{}
	if err := probeLocker(t.Context(), locker); err != nil {
		t.Error(err)
	}
	if _, err := locker.Lock(t.Context(), probeID, tusd.LockTry); err != nil {
		t.Errorf("the lock is not released: %v", err)
	}
	if err := probeLocker(t.Context(), failingLocker{err: down}); !errors.Is(err, down) {
		t.Errorf("a locker that is down: %v", err)
	}
	if err := probeLocker(t.Context(), failingLocker{err: tusd.ErrUploadLocked.With(down)}); err != nil {
		t.Errorf("while another process has the lock: %v", err)
	}
	if err := tusd.ValidateID(probeID); err != nil {
		t.Errorf("the id %s is not valid for lockers: %v", probeID, err)
	}
}
