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

	"github.com/tus/tusd/internal/s3server"
)

// serviceDown is in the log of a start that waits.
const serviceDown = "the start waits: the store is out of reach"

// starting runs the daemon on a service, as startInBucket does, and does not wait.
func starting(t *testing.T, service *s3server.Server, args ...string) *running {
	t.Helper()
	cleanAWS(t, credentialsFor(service)...)
	args = append([]string{"-host", "127.0.0.1", "-port", "0", "-s3-bucket", service.Bucket(), "-s3-endpoint", service.URL}, args...)
	d := &running{ended: make(chan int, 1)}
	ctx, stop := context.WithCancelCause(context.Background())
	d.stop = stop
	go func() { d.ended <- Run(ctx, args, nil, &d.stdout, &d.stderr) }()
	t.Cleanup(func() { d.end(t) })
	return d
}

// result waits for the end of a daemon that ends by itself.
func (d *running) result(t *testing.T) int {
	t.Helper()
	select {
	case d.code = <-d.ended:
		d.ended = nil
	case <-time.After(longEnough):
		t.Fatalf("the daemon does not end:\n%s", d.stdout.String())
	}
	return d.code
}

// A service that is not there yet does not end the start.
func TestStartWaitsForTheBucket(t *testing.T) {
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
				t.Errorf("the log does not tell why the start takes long:\n%s", d.stdout.String())
			}
			create(t, http.DefaultClient, d.url, "1")
		})
	}
}

// Nothing listens at the endpoint until the start waits for it.
func TestStartWaitsForTheEndpoint(t *testing.T) {
	service := s3server.New(s3server.Options{})
	address := unusedAddress(t)
	service.URL = "http://" + address
	d := starting(t, service)
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

// unusedAddress is one that nothing listens at. On Linux the host is this process's
// own, so that no other takes the port meanwhile.
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

// Faults that an operator has to mend end the start at once.
func TestStartDoesNotWaitForMistakes(t *testing.T) {
	for code, status := range map[string]int{
		"AccessDenied": 403, "NoSuchBucket": 404, "InvalidAccessKeyId": 403, "SignatureDoesNotMatch": 403, "ExpiredToken": 400,
		"AuthorizationHeaderMalformed": 400, "RequestTimeTooSkewed": 403,
	} {
		service := s3server.Start(t, s3server.Options{})
		service.Fault(func(s3server.Call) s3server.Outcome { return s3server.Refuse(status, code) })
		d := starting(t, service, "-s3-start-timeout", "1h")
		if got := d.result(t); got != exitFailed || !strings.Contains(d.stderr.String(), code) || strings.Contains(d.stdout.String(), serviceDown) {
			t.Errorf("%s: exit code %d: %s\n%s", code, got, d.stderr.String(), d.stdout.String())
		}
	}
}

// The wait has an end, and 0 is none.
func TestStartEndsItsWait(t *testing.T) {
	for timeout, waits := range map[string]bool{"1s": true, "0": false} {
		service := s3server.New(s3server.Options{})
		service.URL = "http://127.0.0.1:1"
		d := starting(t, service, "-s3-start-timeout", timeout)
		code, log := d.result(t), d.stdout.String()
		if code != exitFailed || !strings.Contains(d.stderr.String(), "nothing listens at the endpoint") || strings.Contains(log, serviceDown) != waits {
			t.Errorf("%s: exit code %d: %s\n%s", timeout, code, d.stderr.String(), log)
		}
	}
}

// A start that is told to end does so: between two attempts, and in the middle of
// a call that has no answer.
func TestStartIsEnded(t *testing.T) {
	for name, fault := range map[string]s3server.Outcome{
		"pause": s3server.Refuse(http.StatusServiceUnavailable, "SlowDown"),
		"call":  s3server.Stall(make(chan struct{})),
	} {
		for _, timeout := range []string{"1h", "0"} {
			if name == "pause" && timeout == "0" {
				continue // there is none
			}
			service := s3server.Start(t, s3server.Options{})
			var calls atomic.Int64
			service.Fault(func(s3server.Call) s3server.Outcome {
				calls.Add(1)
				return fault
			})
			d := starting(t, service, "-s3-start-timeout", timeout)
			await(t, "a call", func() bool { return calls.Load() > 0 })
			if name == "pause" {
				await(t, "the start to wait", func() bool { return strings.Contains(d.stdout.String(), serviceDown) })
			}
			code := d.end(t)
			if code != exitOK || !strings.Contains(d.stdout.String(), "shutting down before the start was done") {
				t.Errorf("%s, timeout %s: exit code %d: %s\n%s", name, timeout, code, d.stderr.String(), d.stdout.String())
			}
			if n := calls.Load(); name == "call" && n != 1 {
				t.Errorf("%d calls: the one without an answer was waited for", n)
			}
		}
	}
}
