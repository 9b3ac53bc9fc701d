package s3store_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/logtest"
	"github.com/tus/tusd/internal/s3server"
)

// waitForDownload waits for the line of the download of path.
func waitForDownload(t *testing.T, l *logtest.Buffer, path string) string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if found := l.LinesWith("method=GET path=" + path); len(found) > 0 {
			return found[0]
		}
	}
	t.Fatal("no line for the download")
	return ""
}

// startLogged starts a node, and returns its log.
func startLogged(t *testing.T, server *s3server.Server) (*node, *logtest.Buffer) {
	t.Helper()
	composer := tusd.NewStoreComposer()
	testStore(server.Bucket(), clientOf(t, server)).UseIn(composer)
	composer.UseLocker(&tusd.LocalLocker{})
	out := new(logtest.Buffer)
	return startNodeWith(t, tusd.Config{StoreComposer: composer, Logger: slog.New(slog.NewTextHandler(out, nil))}), out
}

// read downloads until the answer ends, and returns how many bytes came.
func (n *node) read(path string, header ...string) (status int, n2 int64, err error) {
	n.Helper()
	r, err := http.NewRequestWithContext(n.Context(), http.MethodGet, n.server.URL+path, nil)
	if err != nil {
		n.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := n.server.Client().Do(r)
	if err != nil {
		return 0, 0, err
	}
	defer answer.Body.Close()
	got, err := io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, got, err
}

// Each range is a call, so the number of ranges is limited.
func TestManyRangesAreFewCalls(t *testing.T) {
	server := smallServer(t, s3server.Quirks{})
	n := startOn(t, server)
	const size = 200_000
	path := n.create(size)
	n.patch(path, 0, size)
	for gap, most := range map[int]int{2: 1, 1000: 0} {
		var ranges strings.Builder
		ranges.WriteString("bytes=0-0")
		for i := gap; i < size && ranges.Len() < 200<<10; i += gap {
			fmt.Fprintf(&ranges, ",%d-%d", i, i)
		}
		server.Recount()
		status, _, err := n.read(path, "Range", ranges.String())
		if calls := server.Counts()[s3server.GetObject].Calls; err != nil || calls > most {
			t.Errorf("gaps of %d: status %d, %d calls, error %v; want at most %d calls", gap, status, calls, err, most)
		}
	}
	server.Recount()
	if status, _, err := n.read(path, "Range", "bytes=0-9,100000-100009,-10"); status != http.StatusPartialContent || err != nil {
		t.Errorf("three ranges: status %d, error %v", status, err)
	}
	if calls := server.Counts()[s3server.GetObject].Calls; calls != 3 {
		t.Errorf("three ranges make %d calls", calls)
	}
}

// A fault of the service becomes the answer if no byte was sent before, and
// otherwise a line in the log.
func TestFaultsOfDownloads(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		outcome s3server.Outcome
		ranges  string
		status  int
		line    string
	}{
		"no access":          {s3server.Refuse(http.StatusForbidden, "AccessDenied"), "", 503, "level=ERROR"},
		"no access, a range": {s3server.Refuse(http.StatusForbidden, "AccessDenied"), "bytes=100-", 503, "level=ERROR"},
		"gone":               {s3server.Refuse(http.StatusNotFound, "NoSuchKey"), "", 404, "level=INFO"},
		"cut":                {s3server.Reset(100_000), "", 200, "code=ERR_INTERNAL_SERVER_ERROR"},
		"cut, ranges":        {s3server.Reset(100_000), "bytes=0-9,1000-199999", 206, "code=ERR_INTERNAL_SERVER_ERROR"},
		"gone, ranges":       {s3server.Refuse(http.StatusNotFound, "NoSuchKey"), "bytes=0-9,1000-199999", 206, "level=INFO"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := smallServer(t, s3server.Quirks{})
			n, log := startLogged(t, server)
			const size = 200_000
			path := n.create(size)
			n.patch(path, 0, size)
			server.Fault(s3server.On(s3server.GetObject).Always(c.outcome).Decide)
			status, got, err := n.read(path, "Range", c.ranges)
			if status != c.status && status != 0 {
				t.Errorf("status %d, want %d", status, c.status)
			}
			if status < 300 && err == nil {
				t.Errorf("the answer of %d bytes looks complete to the client", got)
			}
			if line := waitForDownload(t, log, path); !strings.Contains(line, c.line) || strings.Contains(line, "ERR_CONNECTION_RESET") {
				t.Errorf("want %q in the log, it is %s", c.line, line)
			}
		})
	}
}

func TestGETBesideDELETE(t *testing.T) {
	server := smallServer(t, s3server.Quirks{})
	n, log := startLogged(t, server)
	const size = 200_000
	var found atomic.Int32
	for range 10 {
		path := n.create(size)
		n.patch(path, 0, size)
		var readers sync.WaitGroup
		for range 2 {
			readers.Go(func() {
				for {
					status, got, err := n.read(path)
					switch {
					case status == http.StatusNotFound:
						return
					case err != nil || status != http.StatusOK || got != size:
						t.Errorf("status %d with %d bytes, %v", status, got, err)
						return
					}
					found.Add(1)
				}
			})
		}
		n.want(http.StatusNoContent, n.request(http.MethodDelete, path, nil))
		readers.Wait()
	}
	t.Logf("read %d times", found.Load())
	for _, level := range []string{"level=WARN", "level=ERROR"} {
		if lines := log.LinesWith(level); len(lines) > 0 {
			t.Errorf("%d warnings or errors, the first: %s", len(lines), lines[0])
		}
	}
}

// A client that disconnects while net/http still reads for it causes no error.
func TestClientsDisconnectDuringSeveralRanges(t *testing.T) {
	server := smallServer(t, s3server.Quirks{})
	n, log := startLogged(t, server)
	const size = 4 << 20
	path := n.create(size)
	n.patch(path, 0, size)
	for range 20 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Range", "bytes=0-9,2000-4000000")
		answer, err := n.server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		io.CopyN(io.Discard, answer.Body, 1000)
		answer.Body.Close() // closes the connection
	}
	n.server.Close() // waits for all requests
	if lines := log.LinesWith("level=ERROR"); len(lines) > 0 {
		t.Errorf("%d warnings or errors, the first: %s", len(lines), lines[0])
	}
}

// A range that cannot be satisfied is refused. A Range that is not understood is
// ignored.
func TestOddRanges(t *testing.T) {
	n := startOn(t, smallServer(t, s3server.Quirks{}))
	path := n.create(100)
	n.patch(path, 0, 100)
	for header, want := range map[string]int{
		"bytes=-0": 416, "bytes=100-": 416, "bytes=5-3": 416, "bytes=x": 416,
		"items=0-1": 200, "nonsense": 200, "bytes=0-": 206, "bytes=-100": 206, "bytes=-101": 206, "BYTES=0-9": 206, "bytes=0-9,-0": 206,
	} {
		a := n.want(want, n.request(http.MethodGet, path, nil, "Range", header))
		if want == 416 && a.Header.Get("Content-Range") != "bytes */100" {
			t.Errorf("%s: Content-Range %q", header, a.Header.Get("Content-Range"))
		}
	}
	n.want(412, n.request(http.MethodGet, path, nil, "If-Match", `"other"`))
	n.wantContent(path, 100)
}
