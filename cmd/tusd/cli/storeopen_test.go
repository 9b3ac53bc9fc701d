package cli

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/s3server"
)

// serviceDown is the log message of a start that waits.
const serviceDown = "the start waits: the store is unreachable"

// startWithoutWait runs the daemon on a service like startInBucket, without waiting for it.
func startWithoutWait(t *testing.T, service *s3server.Server, args ...string) *testDaemon {
	t.Helper()
	cleanAWS(t, credentialsFor(service)...)
	args = append([]string{"-host", "127.0.0.1", "-port", "0", "-s3-bucket", service.Bucket(), "-s3-endpoint", service.URL}, args...)
	d := &testDaemon{ended: make(chan int, 1)}
	ctx, stop := context.WithCancelCause(context.Background())
	d.stop = stop
	go func() { d.ended <- Run(ctx, args, nil, &d.stdout, &d.stderr) }()
	t.Cleanup(func() { d.end(t) })
	return d
}

// exitCode waits for the end of a daemon that ends by itself.
func (d *testDaemon) exitCode(t *testing.T) int {
	t.Helper()
	select {
	case d.code = <-d.ended:
		d.ended = nil
	case <-time.After(testTimeout):
		t.Fatalf("the daemon does not end:\n%s", d.stdout.String())
	}
	return d.code
}

// The start waits for a service that is not available yet.
func TestStartWaitsForTheBucket(t *testing.T) {
	require.Long(t)
	for name, fault := range map[string]s3server.Outcome{
		"reset":    s3server.Reset(0),
		"busy":     s3server.Refuse(http.StatusServiceUnavailable, "SlowDown"),
		"starting": s3server.Refuse(http.StatusServiceUnavailable, "XMinioServerNotInitialized"),
		"proxy":    {Status: http.StatusBadGateway},
	} {
		t.Run(name, func(t *testing.T) {
			service := s3server.Start(t, s3server.Options{})
			service.Fault(func(c s3server.Call) s3server.Outcome {
				if c.Number <= 4 { // one attempt to open the store makes three
					return fault
				}
				return s3server.Outcome{}
			})
			d := startInBucket(t, service)
			if !strings.Contains(d.stdout.String(), serviceDown) {
				t.Errorf("the log has no line about the wait:\n%s", d.stdout.String())
			}
			create(t, http.DefaultClient, d.url, "1")
		})
	}
}

// A start that waits has one warning, and a line for each attempt at DEBUG. It also waits for
// the lock service.
func TestStartWaitsForTheLockService(t *testing.T) {
	service := leaseLocker{failures: 3}
	withLocker(t, leaseKind(&service))
	d := startInBucket(t, s3server.Start(t, s3server.Options{}), "-locker", "lease-service", "-store-size", "1G")
	if log := d.stdout.String(); strings.Count(log, `level=WARN msg="`+serviceDown) != 1 || strings.Count(log, serviceDown) != 3 {
		t.Errorf("three attempts that failed are not one warning and two lines:\n%s", log)
	}
	create(t, http.DefaultClient, d.url, "1")
}

// The endpoint is opened after the start waits for it.
func TestStartWaitsForTheEndpoint(t *testing.T) {
	service := s3server.New(s3server.Options{})
	address := unusedAddress(t)
	service.URL = "http://" + address
	d := startWithoutWait(t, service)
	await(t, "the start to wait", func() bool { return strings.Contains(d.stdout.String(), serviceDown) })
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: service}}
	server.Start()
	t.Cleanup(server.Close)
	d.awaitStart(t)
	create(t, http.DefaultClient, d.url, "1")
}

// unusedAddress returns an address without a listener. On Linux the host is derived from
// the process id, so that no other process uses the port meanwhile.
func unusedAddress(t *testing.T) string {
	t.Helper()
	host := "127.0.0.1"
	if pid := os.Getpid(); runtime.GOOS == "linux" {
		host = net.IPv4(127, byte(64|pid>>16), byte(pid>>8), byte(pid)).String()
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// Errors that an operator has to correct end the start at once.
func TestStartEndsOnPermanentErrors(t *testing.T) {
	for code, status := range map[string]int{
		"AccessDenied": 403, "NoSuchBucket": 404, "InvalidAccessKeyId": 403, "SignatureDoesNotMatch": 403, "ExpiredToken": 400,
		"AuthorizationHeaderMalformed": 400, "RequestTimeTooSkewed": 403,
	} {
		service := s3server.Start(t, s3server.Options{})
		service.Fault(func(s3server.Call) s3server.Outcome { return s3server.Refuse(status, code) })
		d := startWithoutWait(t, service, "-s3-start-timeout", "1h")
		if got := d.exitCode(t); got != exitFailed || !strings.Contains(d.stderr.String(), code) || strings.Contains(d.stdout.String(), serviceDown) {
			t.Errorf("%s: exit code %d: %s\n%s", code, got, d.stderr.String(), d.stdout.String())
		}
	}
}

// The start waits until -s3-start-timeout. 0 means no wait.
func TestStartTimeout(t *testing.T) {
	require.Long(t)
	for timeout, waits := range map[string]bool{"1s": true, "0": false} {
		service := s3server.New(s3server.Options{})
		service.URL = "http://127.0.0.1:1"
		d := startWithoutWait(t, service, "-s3-start-timeout", timeout)
		code, log := d.exitCode(t), d.stdout.String()
		if code != exitFailed || !strings.Contains(d.stderr.String(), "nothing listens at the endpoint") || strings.Contains(log, serviceDown) != waits {
			t.Errorf("%s: exit code %d: %s\n%s", timeout, code, d.stderr.String(), log)
		}
	}
}

// A signal ends a start that waits, between two attempts and during a call without an
// answer.
func TestStartIsCancelled(t *testing.T) {
	for name, fault := range map[string]s3server.Outcome{
		"backoff": s3server.Refuse(http.StatusServiceUnavailable, "SlowDown"),
		"call":    s3server.Stall(make(chan struct{})),
	} {
		for _, timeout := range []string{"1h", "0"} {
			if name == "backoff" && timeout == "0" {
				continue // no second attempt
			}
			service := s3server.Start(t, s3server.Options{})
			var calls atomic.Int64
			service.Fault(func(s3server.Call) s3server.Outcome {
				calls.Add(1)
				return fault
			})
			d := startWithoutWait(t, service, "-s3-start-timeout", timeout)
			await(t, "a call", func() bool { return calls.Load() > 0 })
			if name == "backoff" {
				await(t, "the start to wait", func() bool { return strings.Contains(d.stdout.String(), serviceDown) })
			}
			code := d.end(t)
			if code != exitOK || !strings.Contains(d.stdout.String(), "shutting down before the start was done") {
				t.Errorf("%s, timeout %s: exit code %d: %s\n%s", name, timeout, code, d.stderr.String(), d.stdout.String())
			}
			if n := calls.Load(); name == "call" && n != 1 {
				t.Errorf("%d calls, want 1", n)
			}
		}
	}
}

// The start also waits if the service fails when the store is open and its limit is not.
func TestStartWithLimitWaits(t *testing.T) {
	require.Long(t)
	service := s3server.Start(t, s3server.Options{})
	var failures atomic.Int32
	service.Fault(func(c s3server.Call) s3server.Outcome {
		if strings.Contains(c.Key, "space/holder") && failures.Add(1) <= 8 { // more than the store repeats a call
			return s3server.Refuse(http.StatusServiceUnavailable, "SlowDown")
		}
		return s3server.Outcome{}
	})
	d := startInBucket(t, service, "-store-size", "1G")
	if !strings.Contains(d.stdout.String(), serviceDown) {
		t.Errorf("the log has no line about the wait:\n%s", d.stdout.String())
	}
	create(t, http.DefaultClient, d.url, "1")
}
