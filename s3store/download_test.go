package s3store_test

import (
	"bytes"
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
	"github.com/tus/tusd/internal/s3server"
)

// lines is a log that a node writes to while a test reads it.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// with returns the lines with a text in them.
func (l *lines) with(text string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// await waits for the line of the download of path.
func (l *lines) await(t *testing.T, path string) string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if found := l.with("method=GET path=" + path); len(found) > 0 {
			return found[0]
		}
	}
	t.Fatal("no line for the download")
	return ""
}

// logged starts a node whose log is kept.
func logged(t *testing.T, server *s3server.Server) (*node, *lines) {
	t.Helper()
	composer := tusd.NewStoreComposer()
	testStore(server.Bucket(), clientOf(t, server)).UseIn(composer)
	composer.UseLocker(&tusd.LocalLocker{})
	out := new(lines)
	return startNodeWith(t, tusd.Config{StoreComposer: composer, Logger: slog.New(slog.NewTextHandler(out, nil))}), out
}

// read downloads as far as the server lets it.
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

// Each range is a call, so there are not any number of them.
func TestManyRangesAreFewCalls(t *testing.T) {
	server := smallServer(t, s3server.Quirks{})
	n := small(t, server)
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

// While nothing is sent a fault of the service is an answer, afterwards it is
// a line in the log.
func TestDownloadsMeetFaults(t *testing.T) {
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
			n, log := logged(t, server)
			const size = 200_000
			path := n.create(size)
			n.patch(path, 0, size)
			server.Fault(s3server.On(s3server.GetObject).Always(c.outcome).Decide)
			status, got, err := n.read(path, "Range", c.ranges)
			if status != c.status && status != 0 {
				t.Errorf("status %d, want %d", status, c.status)
			}
			if status < 300 && err == nil {
				t.Errorf("the client takes the answer with %d bytes for complete", got)
			}
			if line := log.await(t, path); !strings.Contains(line, c.line) || strings.Contains(line, "ERR_CONNECTION_RESET") {
				t.Errorf("want %q in the log, it is %s", c.line, line)
			}
		})
	}
}

func TestGETBesideDELETE(t *testing.T) {
	server := smallServer(t, s3server.Quirks{})
	n, log := logged(t, server)
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
		if alarms := log.with(level); len(alarms) > 0 {
			t.Errorf("%d alarms, the first: %s", len(alarms), alarms[0])
		}
	}
}

// A client that leaves while net/http still reads for it does no harm.
func TestClientsLeaveSeveralRanges(t *testing.T) {
	server := smallServer(t, s3server.Quirks{})
	n, log := logged(t, server)
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
	n.server.Close() // waits for all
	if alarms := log.with("level=ERROR"); len(alarms) > 0 {
		t.Errorf("%d alarms, the first: %s", len(alarms), alarms[0])
	}
}
