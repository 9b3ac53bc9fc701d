package cli

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/s3server"
)

// lockerKinds has the scope of each locker, and each storage has a default locker that
// protects its uploads.
func TestLockerKinds(t *testing.T) {
	cfg, err := parse()
	if err != nil {
		t.Fatal(err)
	}
	for i, kind := range lockerKinds {
		l, err := cfg.lockers[i].open(cfg, quiet)
		if err != nil {
			t.Fatal(err)
		}
		if l.Scope() != kind.scope {
			t.Errorf("%s: the scope is %v, and in lockerKinds %v", kind.name, l.Scope(), kind.scope)
		}
		if err := l.close(); err != nil {
			t.Errorf("%s: %v", kind.name, err)
		}
	}
	for _, storage := range storageKinds {
		if !slices.Contains(storage.lockers(), storage.locker) {
			t.Errorf("%s: the default locker %q is none of %q", storage.title, storage.locker, storage.lockers())
		}
	}
}

// leaseKind is a locker like one that a new file adds, with its own flag.
func leaseKind(opened *leaseLocker) lockerKind {
	return lockerKind{
		name: "lease-service", summary: "of all processes that use the service", scope: tusd.ScopeLease,
		settings: func() lockerSettings { return &leaseSettings{opened: opened} },
	}
}

type leaseSettings struct {
	address string
	opened  *leaseLocker
}

func (s *leaseSettings) declare(f *flag.FlagSet) {
	addressVar(f, &s.address, "lease-service", "`host:port` of the service")
}

func (s *leaseSettings) open(config, *slog.Logger) (uploadLocker, error) {
	s.opened.address = s.address
	return s.opened, nil
}

type leaseLocker struct {
	tusd.LocalLocker
	address  string
	locks    atomic.Int64 // calls of Lock
	failures int64        // of the first calls
	held     atomic.Int64 // locks
	closed   atomic.Bool
	leaked   atomic.Int64 // locks that were held when it was closed
}

func (l *leaseLocker) Scope() tusd.Scope { return tusd.ScopeLease }

func (l *leaseLocker) Lock(ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
	if l.locks.Add(1) <= l.failures {
		return nil, tusd.ErrLockServiceUnavailable.With(errors.New("unreachable"))
	}
	lease, err := l.LocalLocker.Lock(ctx, id, mode)
	if err != nil {
		return nil, err
	}
	l.held.Add(1)
	return &heldLease{Lease: lease, locker: l}, nil
}

// heldLease is a lease whose Unlock takes a moment.
type heldLease struct {
	tusd.Lease
	locker   *leaseLocker
	released sync.Once
}

func (s *heldLease) Unlock(ctx context.Context) error {
	time.Sleep(20 * time.Millisecond) // the round trip
	s.released.Do(func() { s.locker.held.Add(-1) })
	return s.Lease.Unlock(ctx)
}

func (l *leaseLocker) probes() []*probe                   { return []*probe{lockerProbe(l)} }
func (l *leaseLocker) collectors() []prometheus.Collector { return nil }
func (l *leaseLocker) close() error {
	l.closed.Store(true)
	l.leaked.Add(l.held.Load())
	return nil
}

// withLocker adds a locker to lockerKinds for the time of a test.
func withLocker(t *testing.T, kind lockerKind) {
	before := lockerKinds
	t.Cleanup(func() { lockerKinds = before })
	lockerKinds = append(slices.Clone(before), kind)
}

// A locker that is added to lockerKinds is chosen by its name, has flags, and is refused
// for a storage that its locks do not protect.
func TestNewLockerIsOneLine(t *testing.T) {
	var service leaseLocker
	withLocker(t, leaseKind(&service))

	code, _, stderr := run("-upload-dir", t.TempDir(), "-locker", "lease-service")
	if code != exitUsage || !strings.Contains(stderr, "-locker must be file or memory with -upload-dir: ") {
		t.Errorf("on a directory: exit code %d, %q", code, stderr)
	}
	code, _, stderr = run("-lease-service", "localhost:1")
	if code != exitUsage || !strings.Contains(stderr, "-upload-dir and -lease-service exclude each other") {
		t.Errorf("its flag alone: exit code %d, %q", code, stderr)
	}

	d := startInBucket(t, s3server.Start(t, s3server.Options{}), "-locker", "lease-service", "-lease-service", "localhost:1")
	location := create(t, http.DefaultClient, d.url, "5")
	tus(t, "PATCH", location, "hello", "Upload-Offset: 0").want(t, 204)
	if service.locks.Load() == 0 || service.address != "localhost:1" {
		t.Errorf("the locker has given %d locks, and its address is %q", service.locks.Load(), service.address)
	}
	if _, text := fetch(t, "http://"+d.address(t)+"/readyz"); text != "store: ok\nlock: ok\n" {
		t.Errorf("ready: %s", text)
	}
	if code := d.end(t); code != exitOK || !service.closed.Load() || service.leaked.Load() > 0 {
		t.Errorf("exit code %d, the locker is closed: %t, with %d locks", code, service.closed.Load(), service.leaked.Load())
	}
}

// With locks that all processes share, commands change a bucket beside its server. They close the
// locker when their locks are released.
func TestCommandsWithALockService(t *testing.T) {
	var service leaseLocker
	withLocker(t, leaseKind(&service))
	bucket := s3server.Start(t, s3server.Options{})
	d := startInBucket(t, bucket, "-locker", "lease-service")
	location := create(t, http.DefaultClient, d.url, "5")
	await(t, "the lock of the creation to be released", func() bool { return service.held.Load() == 0 })
	flags := []string{"-s3-bucket", bucket.Bucket(), "-s3-endpoint", bucket.URL, "-locker", "lease-service"}
	for _, command := range [][]string{{"ls"}, {"verify"}, {"sweep", "-dry-run"}, {"sweep"}, {"rm", location}} {
		locks := service.locks.Load()
		code, stdout, stderr := runCommand(t, slices.Concat(command, flags)...)
		if code != exitOK || service.leaked.Load() > 0 {
			t.Errorf("%q: exit code %d, %d locks held at the end: %s%s", command, code, service.leaked.Load(), stdout, stderr)
		}
		if command[0] == "rm" && service.locks.Load() == locks {
			t.Errorf("%q has taken no lock", command)
		}
	}
	tus(t, "HEAD", location, "").want(t, 404)
}

// A directory with the memory locker can be used by one server only.
func TestMemoryLockerOnADirectory(t *testing.T) {
	dir := t.TempDir()
	d := start(t, "-upload-dir", dir, "-locker", "memory")
	location := create(t, http.DefaultClient, d.url, "5")
	tus(t, "PATCH", location, "hello", "Upload-Offset: 0").want(t, 204)
	for _, locker := range []string{"memory", "file"} {
		code, _, stderr := run("-host", "127.0.0.1", "-port", "0", "-upload-dir", dir, "-locker", locker)
		if code != exitFailed || !strings.Contains(stderr, "is in use by another server") {
			t.Errorf("a second server with -locker %s: exit code %d, %q", locker, code, stderr)
		}
	}
	code, stdout, stderr := diagnose(t, "-upload-dir", dir, "-locker", "memory")
	if code != exitOK || !strings.Contains(stdout, "ok       locks: within one process (-locker memory)") {
		t.Errorf("doctor: exit code %d, %s%s", code, stdout, stderr)
	}
}
