package cli

import (
	"context"
	"flag"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

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
	address string
	locks   atomic.Int64 // calls of Lock
	closed  atomic.Bool
}

func (l *leaseLocker) Scope() tusd.Scope { return tusd.ScopeLease }

func (l *leaseLocker) Lock(ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
	l.locks.Add(1)
	return l.LocalLocker.Lock(ctx, id, mode)
}

func (l *leaseLocker) probes() []*probe                   { return []*probe{lockerProbe(l)} }
func (l *leaseLocker) collectors() []prometheus.Collector { return nil }
func (l *leaseLocker) close() error {
	l.closed.Store(true)
	return nil
}

// A locker that is added to lockerKinds is chosen by its name, has flags, and is refused
// for a storage that its locks do not protect.
func TestNewLockerIsOneLine(t *testing.T) {
	var service leaseLocker
	before := lockerKinds
	t.Cleanup(func() { lockerKinds = before })
	lockerKinds = append(slices.Clone(before), leaseKind(&service))

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
	if code := d.end(t); code != exitOK || !service.closed.Load() {
		t.Errorf("exit code %d, the locker is closed: %t", code, service.closed.Load())
	}
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
