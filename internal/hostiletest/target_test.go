//go:build linux

package hostiletest

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "github.com/tus/tusd/cmd/tusd/cli" // so that results are not taken from a cache when the daemon has changed
	"github.com/tus/tusd/internal/faulttest"
	"github.com/tus/tusd/internal/s3server"
)

const (
	waitTimeout  = 30 * time.Second
	tooMuch      = 1 << 30 // bytes: nothing more is learned by waiting
	uploads      = "/files/"
	offsetStream = "Content-Type: application/offset+octet-stream"
)

// builder has the daemon that is attacked. It is built without the race
// detector, which makes everything larger.
var builder faulttest.Builder

// hostileEnv asks for the attacks.
const hostileEnv = "TUSD_HOSTILE"

// TestMain runs the attacks only when they are asked for: they take minutes.
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
	dir    string           // of its uploads; "": they are in S3
	s3     *httptest.Server // nil: they are in dir
	bucket *s3server.Server // behind s3
	secure bool             // it speaks TLS
	idle   figures          // after it has served well-behaved clients
	peer   *http.Client     // of whoever measures
}

// onFiles starts a daemon with a directory.
func onFiles(tb testing.TB, flags ...string) *target {
	tb.Helper()
	return start(tb, faulttest.Launch{Dir: tb.TempDir(), Flags: flags}, &target{})
}

// onS3 starts a daemon with a bucket. The service is in this process, so that
// its memory is not the daemon's.
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

// start fills to with a daemon.
func start(tb testing.TB, launch faulttest.Launch, to *target) *target {
	tb.Helper()
	launch.Binary = builder.Binary(tb, "")
	launch.Flags = append(launch.Flags, "-expose-pprof")
	if to.secure = slices.Contains(launch.Flags, "-tls-certificate"); !to.secure {
		launch.Flags = append(launch.Flags, "-enable-h2c")
	}
	to.Daemon, to.dir = faulttest.Start(tb, launch), launch.Dir
	to.peer = &http.Client{Timeout: waitTimeout, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: anyCertificate}}
	to.warm(tb)
	return to
}

// warm serves some well-behaved clients, so that what is made once is made.
func (to *target) warm(tb testing.TB) {
	tb.Helper()
	_, err := to.serveHealthy(20, 0)
	if err == nil {
		to.idle, err = to.measure()
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// anyCertificate accepts that of the test, which no authority has signed.
var anyCertificate = &tls.Config{InsecureSkipVerify: true}

// url is where the daemon serves path.
func (to *target) url(path string) string {
	if to.secure {
		return "https://" + to.Address + path
	}
	return "http://" + to.Address + path
}

// figures are what a daemon holds.
type figures struct {
	resident    int64 // bytes
	heap        int64 // bytes that are reachable
	goroutines  int
	descriptors map[string]int // by their kind
	created     int64          // uploads since the start
}

func (f figures) String() string {
	return fmt.Sprintf("%.1f MiB resident, %.2f MiB of live heap, %d goroutines, descriptors %v",
		mib(f.resident), mib(f.heap), f.goroutines, f.descriptors)
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

var (
	heapAlloc  = regexp.MustCompile(`(?m)^# HeapAlloc = (\d+)$`)
	created    = regexp.MustCompile(`(?m)^tusd_uploads_created (\d+)`)
	goroutines = regexp.MustCompile(`^goroutine profile: total (\d+)`)
)

// measure looks at the daemon from outside, and asks it for its profiles. A
// collection runs before.
func (to *target) measure() (f figures, err error) {
	if to.s3 != nil {
		to.s3.CloseClientConnections() // those that the daemon keeps for later
	}
	for range 3 { // pools live for two collections
		if f.heap, err = to.profile("heap?gc=1&debug=1", heapAlloc); err != nil {
			return f, err
		}
	}
	if f.created, err = to.number("/metrics", created); err != nil {
		return f, err
	}
	n, err := to.profile("goroutine?debug=1", goroutines)
	if err != nil {
		return f, err
	}
	f.goroutines = int(n)
	if f.descriptors, err = to.descriptors(); err != nil {
		return f, err
	}
	f.resident, err = to.resident()
	return f, err
}

func (to *target) profile(name string, number *regexp.Regexp) (int64, error) {
	return to.number("/debug/pprof/"+name, number)
}

// number finds one in what is served at path.
func (to *target) number(path string, number *regexp.Regexp) (int64, error) {
	answer, err := to.peer.Get(to.url(path))
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err
	}
	found := number.FindSubmatch(body)
	if found == nil {
		return 0, fmt.Errorf("%s: %s without %v", path, answer.Status, number)
	}
	return strconv.ParseInt(string(found[1]), 10, 64)
}

// resident reads how much memory the process has.
func (to *target) resident() (int64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", to.PID()))
	if err != nil {
		return 0, err
	}
	var all, resident int64
	if _, err := fmt.Sscan(string(content), &all, &resident); err != nil {
		return 0, err
	}
	return resident * int64(os.Getpagesize()), nil
}

// descriptors counts what the process has open, by kind: sockets, pipes, files
// and what the system calls anonymous inodes (pidfd, epoll).
func (to *target) descriptors() (map[string]int, error) {
	folder := fmt.Sprintf("/proc/%d/fd", to.PID())
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	kinds := make(map[string]int)
	for _, entry := range entries {
		leads, err := os.Readlink(folder + "/" + entry.Name())
		if err != nil {
			continue // closed meanwhile
		}
		kind, _, found := strings.Cut(leads, ":[")
		if !found {
			kind = "file"
			if strings.HasPrefix(leads, "anon_inode:") {
				kind = leads
			}
		}
		kinds[kind]++
	}
	return kinds, nil
}

// watch samples the resident memory until stop is closed, and returns the
// largest.
func (to *target) watch(stop <-chan struct{}) <-chan int64 {
	largest := make(chan int64, 1)
	ticks := time.NewTicker(20 * time.Millisecond)
	go func() {
		defer ticks.Stop()
		var most int64
		for {
			if now, err := to.resident(); err == nil {
				most = max(most, now)
			}
			if most > tooMuch {
				to.Kill() // rather than have the system choose what to kill
			}
			select {
			case <-ticks.C:
			case <-stop:
				largest <- max(most, to.peak())
				return
			}
		}
	}()
	return largest
}

// resetPeak makes the system forget the largest resident memory so far.
func (to *target) resetPeak() bool {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", to.PID()), []byte("5"), 0) == nil
}

var highWater = regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`)

// peak is what the system noted since resetPeak.
func (to *target) peak() int64 {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", to.PID()))
	found := highWater.FindSubmatch(content)
	if err != nil || found == nil {
		return 0
	}
	n, _ := strconv.ParseInt(string(found[1]), 10, 64) // digits
	return n << 10
}

// serveHealthy has an honest client make n uploads of 4 KiB, one after
// another with a rest between them, and returns how long create and PATCH took
// together in the median.
func (to *target) serveHealthy(n int, rest time.Duration) (median time.Duration, err error) {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: healthyAddress}, Timeout: waitTimeout}
	transport := &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: anyCertificate}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: waitTimeout}
	took := make([]time.Duration, n)
	for i := range took {
		begun := time.Now()
		if err := to.upload(client); err != nil {
			return 0, fmt.Errorf("upload %d of a healthy client: %w", i, err)
		}
		took[i] = time.Since(begun)
		time.Sleep(rest) // the client's own rhythm
	}
	slices.Sort(took)
	return took[n/2], nil
}

func (to *target) upload(client *http.Client) error {
	const size = 4 << 10
	location, err := to.request(client, http.MethodPost, to.url(uploads), http.StatusCreated, nil,
		"Upload-Length", strconv.Itoa(size))
	if err != nil {
		return err
	}
	_, err = to.request(client, http.MethodPatch, location, http.StatusNoContent, bytes.Repeat([]byte("h"), size),
		"Upload-Offset", "0", "Content-Type", "application/offset+octet-stream")
	return err
}

func (to *target) request(client *http.Client, method, url string, want int, body []byte, header ...string) (location string, err error) {
	r, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	r.Header.Set("Tus-Resumable", "1.0.0")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != want {
		err = fmt.Errorf("%s: %s: %s", method, answer.Status, text)
	}
	return answer.Header.Get("Location"), err
}
