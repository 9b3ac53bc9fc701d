//go:build linux

package hostiletest

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"testing"
	"time"

	_ "github.com/tus/tusd/cmd/tusd/cli" // a change of the daemon invalidates cached test results
	"github.com/tus/tusd/internal/faulttest"
	"github.com/tus/tusd/internal/s3server"
)

const (
	waitTimeout       = 30 * time.Second
	residentKillLimit = 1 << 30 // bytes; a daemon with more is killed
	uploads           = "/files/"
	offsetStream      = "Content-Type: application/offset+octet-stream"
)

// builder builds the daemon without the race detector, which needs more memory.
var builder faulttest.Builder

// hostileEnv enables the attacks.
const hostileEnv = "TUSD_HOSTILE"

// TestMain runs the attacks only if they are enabled: they take minutes.
func TestMain(m *testing.M) {
	if os.Getenv(hostileEnv) == "" {
		os.Stdout.WriteString("skipped: attacks run with " + hostileEnv + "=1\n")
		return
	}
	code := m.Run()
	if err := builder.Remove(); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
	}
	os.Exit(code)
}

// target is a daemon under attack.
type target struct {
	*faulttest.Daemon
	dir     string           // the directory of uploads; "": uploads are in S3
	s3      *httptest.Server // nil: uploads are in dir
	bucket  *s3server.Server // the handler of s3
	secure  bool             // it speaks TLS
	idle    usage            // after it has served healthy clients
	monitor *http.Client     // for metrics and profiles
}

// onFiles starts a daemon with a directory.
func onFiles(tb testing.TB, flags ...string) *target {
	tb.Helper()
	return start(tb, faulttest.Launch{Dir: tb.TempDir(), Flags: flags}, &target{})
}

// onS3 starts a daemon with a bucket. The service runs in the test's process, so that
// its memory does not count.
func onS3(tb testing.TB, flags ...string) *target {
	tb.Helper()
	service := s3server.New(s3server.Options{Discard: 1 << 20})
	listener := httptest.NewServer(service)
	tb.Cleanup(listener.Close)
	tb.Cleanup(listener.CloseClientConnections)
	return start(tb, faulttest.Launch{
		Flags: append([]string{"-s3-bucket", service.Bucket(), "-s3-endpoint", listener.URL}, flags...),
		Env: []string{
			"AWS_ACCESS_KEY_ID=" + service.AccessKey(), "AWS_SECRET_ACCESS_KEY=secret", "AWS_REGION=us-east-1",
		},
	}, &target{s3: listener, bucket: service})
}

// start starts a daemon for to.
func start(tb testing.TB, launch faulttest.Launch, to *target) *target {
	tb.Helper()
	launch.Binary = builder.Binary(tb, "")
	launch.Flags = append(launch.Flags, "-expose-pprof")
	if to.secure = slices.Contains(launch.Flags, "-tls-certificate"); !to.secure {
		launch.Flags = append(launch.Flags, "-enable-h2c")
	}
	to.Daemon, to.dir = faulttest.Start(tb, launch), launch.Dir
	to.monitor = &http.Client{Timeout: waitTimeout, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: anyCertificate}}
	to.warmUp(tb)
	return to
}

// warmUp serves some healthy clients, so that one-time allocations are made, and
// measures the idle daemon.
func (to *target) warmUp(tb testing.TB) {
	tb.Helper()
	_, err := to.serveHealthy(20, 0)
	if err == nil {
		to.idle, err = to.measure()
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// anyCertificate accepts the self-signed certificate of the test.
var anyCertificate = &tls.Config{InsecureSkipVerify: true}

// url returns the URL of path.
func (to *target) url(path string) string {
	if to.secure {
		return "https://" + to.Address + path
	}
	return "http://" + to.Address + path
}
