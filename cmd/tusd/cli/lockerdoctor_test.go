package cli

import (
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/lockservices"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/s3server"
)

// The doctor takes a lock of the lock service and releases it.
func TestDoctorOfALockService(t *testing.T) {
	var service leaseLocker
	withLocker(t, leaseKind(&service))
	code, text := doctorOf(t, s3server.Start(t, s3server.Options{}), "-locker", "lease-service")
	if code != exitOK || !strings.Contains(text, "\nok       lock service (-locker lease-service): a lock is acquired and released\n") {
		t.Errorf("exit code %d:\n%s", code, text)
	}
	if service.locks.Load() != 1 || service.leaked.Load() != 0 || !service.closed.Load() {
		t.Errorf("%d locks, %d held at the end, closed: %t", service.locks.Load(), service.leaked.Load(), service.closed.Load())
	}
}

// The doctor names the flags that an error of a lock service is about.
func TestDoctorOfABadLockService(t *testing.T) {
	require.Long(t)
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "Permission denied: token lacks permission", http.StatusForbidden)
	}))
	defer refusing.Close()
	bucket := s3server.Start(t, s3server.Options{})
	for want, args := range map[string][]string{
		"look at -redis-url":         {"-locker", "redis", "-redis-url", "redis://" + unusedAddress(t)},
		"look at -consul-token-file": {"-locker", "consul", "-consul-url", refusing.URL},
	} {
		code, text := doctorOf(t, bucket, args...)
		if code != exitFailed || !strings.Contains(text, "\nmissing  lock service (-locker "+args[1]+"): no lock can be acquired: ") || !strings.Contains(text, want) {
			t.Errorf("%q: exit code %d, want %q:\n%s", args, code, want, text)
		}
	}
}

// The doctor warns of a Redis that may remove locks.
func TestDoctorOfRedis(t *testing.T) {
	require.Long(t) // Redis gives out locks ten seconds after its start
	redis := lockservices.Redis(t, "--maxmemory-policy", "allkeys-lru")
	code, text := doctorOf(t, s3server.Start(t, s3server.Options{}), "-locker", "redis", "-redis-url", redis.URL())
	if code != exitOK || !strings.Contains(text, "warning  lock service (-locker redis): maxmemory-policy of Redis is allkeys-lru") {
		t.Errorf("exit code %d:\n%s", code, text)
	}
}

func TestLockAdvice(t *testing.T) {
	for _, c := range []struct{ locker, err, want string }{
		{"redis", "WRONGPASS invalid username-password pair or user is disabled.", "look at -redis-password-file"},
		{"redis", "NOAUTH Authentication required.", "look at -redis-password-file"},
		{"redis", "tls: failed to verify certificate: x509: certificate signed by unknown authority", "look at -redis-tls-ca"},
		{"redis", "dial tcp 127.0.0.1:1: connect: connection refused", "look at -redis-url, -redis-cluster and -redis-sentinel-master"},
		{"redis", "NOPERM No permissions to access a key", "look at -redis-password-file, at the user and password or token that the service wants, and whether they have the rights to -redis-prefix"},
		{"etcd", "etcdserver: authentication failed, invalid user ID or password", "look at -etcd-password-file"},
		{"etcd", "context deadline exceeded", "look at -etcd-url"},
		{"consul", "Unexpected response code: 403 (ACL not found)", "look at -consul-token-file"},
	} {
		if got := lockAdvice(c.locker, errors.New(c.err)); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s, %s: %q, want %q", c.locker, c.err, got, c.want)
		}
	}
	socket := &fs.PathError{Op: "dial", Path: "/run/redis.sock", Err: fs.ErrPermission}
	if got := lockAdvice("redis", socket); !strings.HasPrefix(got, "look at -redis-url") {
		t.Errorf("%v: %q", socket, got)
	}
}
