//go:build unix

package cli

import (
	"bufio"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/wire"
)

// rawDial sends a request over a new connection.
func rawDial(t *testing.T, address, request string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(testTimeout)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

// No page waits for the body of its request.
func TestPagesNeedNoBody(t *testing.T) {
	require.Long(t)
	t.Parallel()
	d := start(t, "-expose-pprof", "-admin-listen", "127.0.0.1:0")
	beside := start(t, "-expose-pprof")
	admin := strings.TrimPrefix(adminURL(t, d), "http://")
	ends := make(map[string]*bufio.Reader)
	for _, c := range []struct {
		address, method, target string
		status                  int
	}{
		{d.address(t), "GET", "/", http.StatusOK},
		{d.address(t), "GET", "/nothing", http.StatusNotFound},
		{d.address(t), "POST", "/", http.StatusOK},
		{d.address(t), "OPTIONS", "*", http.StatusOK},
		{admin, "GET", "/", http.StatusNotFound},
		{admin, "GET", "/healthz", http.StatusOK},
		{admin, "GET", "/readyz", http.StatusOK},
		{admin, "GET", "/metrics", http.StatusOK},
		{admin, "GET", "/debug/pprof/heap", http.StatusOK},
		{beside.address(t), "GET", "/healthz", http.StatusOK},
		{beside.address(t), "HEAD", "/healthz", http.StatusOK},
		{beside.address(t), "POST", "/healthz", http.StatusMethodNotAllowed},
		{beside.address(t), "GET", "/readyz", http.StatusOK},
		{beside.address(t), "GET", "/metrics", http.StatusOK},
		{beside.address(t), "GET", "/debug/pprof/", http.StatusOK},
	} {
		_, r := rawDial(t, c.address, c.method+" "+c.target+" HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n")
		name := c.method + " " + c.target
		answer, err := wire.ReadResponse(r, c.method, func(wire.Interim) {})
		if err != nil || answer.Status != c.status {
			t.Errorf("%s: %v, %v", name, answer, err)
			continue
		}
		ends[name] = r
	}
	for name, r := range ends {
		if rest, err := io.ReadAll(r); len(rest) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: after the answer came %q and %v, want the end of the connection", name, rest, err)
		}
	}
}

// noContent and allContent are window sizes of an HTTP/2 client for its streams.
var (
	noContent  = http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}
	allContent = http2.Setting{ID: http2.SettingInitialWindowSize, Val: math.MaxInt32}
)

// dialFrames sends n requests over a new HTTP/2 connection.
func dialFrames(t *testing.T, address string, setting http2.Setting, n int, path string) *wire.Frames {
	t.Helper()
	f, err := wire.DialFrames(address, setting)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	for range n {
		if _, err := f.Request("GET", path, true); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// Clients that do not read the answers of /metrics are limited: health checks are still
// answered, and /metrics again after the timeout.
func TestMetricsThatAreNotRead(t *testing.T) {
	t.Parallel()
	d := start(t, "-enable-h2c", "-network-timeout", "1s")
	const conns, streams = 4, 100
	statusCounts := make(map[string]int)
	for range conns {
		f := dialFrames(t, d.address(t), noContent, streams, "/metrics")
		statuses, err := f.Statuses(streams)
		if err != nil {
			t.Fatal(err)
		}
		for _, status := range statuses {
			statusCounts[status]++
		}
	}
	if statusCounts["503"] < conns*streams-2*maxMetricsRequests || statusCounts["200"] < maxMetricsRequests {
		t.Errorf("answers %v", statusCounts)
	}
	for _, path := range []string{"/healthz", "/readyz", "/", "/files/"} {
		if status, _ := fetch(t, "http://"+d.address(t)+path); status == http.StatusServiceUnavailable {
			t.Errorf("%s: %d", path, status)
		}
	}
	await(t, "the metrics to be answered", func() bool {
		status, _ := fetch(t, "http://"+d.address(t)+"/metrics")
		return status == http.StatusOK
	})
}

// Health checks are answered while other clients do not read theirs.
func TestHealthThatIsNotRead(t *testing.T) {
	d := start(t, "-enable-h2c")
	for _, path := range []string{"/healthz", "/readyz"} {
		f := dialFrames(t, d.address(t), noContent, maxStreams, path)
		if _, err := f.Statuses(maxStreams); err != nil {
			t.Fatal(err)
		}
		if status, _ := fetch(t, "http://"+d.address(t)+path); status != http.StatusOK {
			t.Errorf("%s: %d", path, status)
		}
	}
}

// complete creates a complete upload of n bytes, and returns its path.
func complete(t *testing.T, base string, n int64) (path string) {
	t.Helper()
	location := create(t, http.DefaultClient, base, strconv.FormatInt(n, 10))
	if status := patch(http.DefaultClient, location, n, zeros(n)); status != http.StatusNoContent {
		t.Fatalf("PATCH: %d", status)
	}
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	return u.Path
}

// A shutdown does not wait for stalled clients.
func TestShutdownWithStalledClients(t *testing.T) {
	require.Long(t)
	t.Parallel()
	const size = 64 << 20
	for name, stall := range map[string]func(t *testing.T, address, upload string){
		"download that is not read": func(t *testing.T, address, upload string) {
			_, r := rawDial(t, address, "GET "+upload+" HTTP/1.1\r\nHost: h\r\n\r\n")
			mustBeginAnswer(t, r)
		},
		"download without a window": func(t *testing.T, address, upload string) {
			mustAnswerHeaders(t, dialFrames(t, address, noContent, 5, upload), 5)
		},
		"download over a connection that is not read": func(t *testing.T, address, upload string) {
			f := dialFrames(t, address, allContent, 0, "")
			if err := f.WriteWindowUpdate(0, math.MaxInt32-1<<16); err != nil {
				t.Fatal(err)
			}
			if _, err := f.Request("GET", upload, true); err != nil {
				t.Fatal(err)
			}
			mustAnswerHeaders(t, f, 1)
		},
		"body that is not needed": func(t *testing.T, address, upload string) {
			for range 20 { // one after the other, each would delay it by its timeout
				_, r := rawDial(t, address, "HEAD "+upload+" HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n")
				mustBeginAnswer(t, r)
			}
		},
		"body of an upload": func(t *testing.T, address, upload string) {
			rawDial(t, address, "POST /files/ HTTP/1.1\r\nHost: h\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 9\r\n"+
				"Content-Type: application/offset+octet-stream\r\nContent-Length: 9\r\n\r\nabc")
		},
		"body that has to be empty": func(t *testing.T, address, upload string) {
			rawDial(t, address, "PATCH "+upload+" HTTP/1.1\r\nHost: h\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: "+strconv.Itoa(size)+
				"\r\nContent-Type: application/offset+octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
		},
		"error without a window": func(t *testing.T, address, upload string) {
			mustAnswerHeaders(t, dialFrames(t, address, noContent, 5, "/files/none"), 5)
		},
		"page without a window": func(t *testing.T, address, upload string) {
			mustAnswerHeaders(t, dialFrames(t, address, noContent, 5, "/metrics"), 5)
		},
		"profile": func(t *testing.T, address, upload string) {
			rawDial(t, address, "GET /debug/pprof/profile?seconds=3600 HTTP/1.1\r\nHost: h\r\n\r\n")
			rawDial(t, address, "GET /debug/pprof/fgprof?seconds=3600 HTTP/1.1\r\nHost: h\r\n\r\n")
		},
		"half a header": func(t *testing.T, address, upload string) {
			_, r := rawDial(t, address, "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\n")
			mustBeginAnswer(t, r)
			rawDial(t, address, "GET / HTTP/1.1\r\n")
			rawDial(t, address, "PRI * HTTP/2.0\r\n\r\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := launchUploads(t, t.TempDir(), []string{"-enable-h2c", "-expose-pprof", "-shutdown-timeout", "1h"})
			base, err := url.Parse(p.url(t))
			if err != nil {
				t.Fatal(err)
			}
			upload := complete(t, base.String(), size)
			http.DefaultClient.CloseIdleConnections()
			stall(t, base.Host, upload)
			if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			p.mustEnd(t, exitOK)
		})
	}
}

// mustBeginAnswer waits for the first byte of an answer.
func mustBeginAnswer(t *testing.T, r *bufio.Reader) {
	t.Helper()
	if _, err := r.Peek(1); err != nil {
		t.Fatal(err)
	}
}

func mustAnswerHeaders(t *testing.T, f *wire.Frames, n int) {
	t.Helper()
	if _, err := f.Statuses(n); err != nil {
		t.Fatal(err)
	}
}

// A download that makes progress may end within the shutdown timeout.
func TestShutdownWaitsForDownloads(t *testing.T) {
	require.Long(t)
	t.Parallel()
	const size = 8 << 20
	overEveryProtocol(t, func(t *testing.T, client *http.Client, args []string) {
		t.Parallel()
		p := launchUploads(t, t.TempDir(), append(args, "-shutdown-timeout", "1h"))
		location := create(t, client, p.url(t), strconv.Itoa(size))
		if status := patch(client, location, size, zeros(size)); status != http.StatusNoContent {
			t.Fatalf("PATCH: %d", status)
		}
		resp, err := client.Get(location)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, slowly{resp.Body}, make([]byte, 64<<10))
		if n != size || err != nil {
			t.Errorf("%d bytes of %d came, %v", n, size, err)
		}
		p.mustEnd(t, exitOK)
	})
}

// slowly delays each Read.
type slowly struct{ io.Reader }

func (s slowly) Read(p []byte) (int, error) {
	time.Sleep(30 * time.Millisecond)
	return io.ReadFull(s.Reader, p)
}

// Answers that are not read count in -max-requests. The refusals beyond the limit are
// cut soon.
func TestUnreadAnswersCountAsRequests(t *testing.T) {
	t.Parallel()
	const limit, streams = 5, 50
	d := start(t, "-enable-h2c", "-max-requests", strconv.Itoa(limit))
	f := dialFrames(t, d.address(t), noContent, streams, "/files/none")
	statuses, err := f.Statuses(streams)
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[string]int)
	for _, status := range statuses {
		count[status]++
	}
	if count["404"] != limit || count["503"] != streams-limit {
		t.Errorf("answers %v", count)
	}
	inFlight := regexp.MustCompile(`(?m)^tusd_requests_in_flight (\d+)$`)
	await(t, "the refusals to end", func() bool {
		_, metrics := fetch(t, "http://"+d.address(t)+"/metrics")
		found := inFlight.FindStringSubmatch(metrics)
		n, err := strconv.Atoi(found[1])
		return err == nil && n <= 2*limit
	})
	if resp := do(t, http.DefaultClient, http.MethodGet, d.url+"none"); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%s while the limit is reached", resp.Status)
	}
	f.Close()
	await(t, "the limit to be free", func() bool {
		return do(t, http.DefaultClient, http.MethodGet, d.url+"none").StatusCode == http.StatusNotFound
	})
}
