package cli

import (
	"context"
	"errors"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd/internal/logtest"
)

// testTimeout limits every wait of a test. It is far longer than any wait needs.
const testTimeout = 30 * time.Second

// errTestOver is the cause with which end stops a daemon.
var errTestOver = errors.New("the test is over")

// testDaemon is a daemon in this process.
type testDaemon struct {
	url            string // of the uploads; "" on a Unix socket
	stdout, stderr logtest.Buffer
	stop           context.CancelCauseFunc
	ended          chan int // receives the exit code
	code           int
}

// start runs the daemon with these arguments until the test ends, and waits until
// it accepts connections. It listens on a free port, or on the socket that args name.
func start(t testing.TB, args ...string) *testDaemon {
	t.Helper()
	if !strings.Contains(strings.Join(args, " "), "-unix-sock") {
		args = append([]string{"-host", "127.0.0.1", "-port", "0"}, args...)
	}
	args = append([]string{"-upload-dir", t.TempDir()}, args...)
	d := &testDaemon{ended: make(chan int, 1)}
	ctx, stop := context.WithCancelCause(context.Background())
	d.stop = stop
	go func() { d.ended <- Run(ctx, args, nil, &d.stdout, &d.stderr) }()
	t.Cleanup(func() { d.end(t) })
	d.awaitStart(t)
	return d
}

// end stops the daemon, if it runs, and returns its exit code.
func (d *testDaemon) end(t testing.TB) int {
	t.Helper()
	d.stop(errTestOver)
	if d.ended == nil {
		return d.code
	}
	select {
	case d.code = <-d.ended:
		d.ended = nil
	case <-time.After(testTimeout):
		t.Fatal("the daemon does not end")
	}
	return d.code
}

// address is the host and port that the daemon listens on.
func (d *testDaemon) address(t testing.TB) string {
	t.Helper()
	u, err := url.Parse(d.url)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

var startLine = regexp.MustCompile(`(?m)(?:You can now upload files to: (https?://[^/]+/[^"\s]*)|Uploads are received on the Unix socket \S+)"?}?$`)

func (d *testDaemon) awaitStart(t testing.TB) {
	t.Helper()
	await(t, "the daemon to start", func() bool {
		if len(d.ended) > 0 {
			t.Fatalf("the daemon ended: %s", d.stderr.String())
		}
		found := startLine.FindStringSubmatch(d.stdout.String())
		if found != nil {
			d.url = found[1]
		}
		return found != nil
	})
}

// await polls a condition.
func await(t testing.TB, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testTimeout); !met(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}
