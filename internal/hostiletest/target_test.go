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

// usage has the resources that a daemon uses.
type usage struct {
	resident    int64 // bytes
	heap        int64 // bytes that are reachable
	goroutines  int
	descriptors map[string]int // by their kind
	created     int64          // uploads since the start
}

func (f usage) String() string {
	return fmt.Sprintf("%.1f MiB resident, %.2f MiB of live heap, %d goroutines, descriptors %v",
		mib(f.resident), mib(f.heap), f.goroutines, f.descriptors)
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

var (
	heapAlloc  = regexp.MustCompile(`(?m)^# HeapAlloc = (\d+)$`)
	created    = regexp.MustCompile(`(?m)^tusd_uploads_created (\d+)`)
	goroutines = regexp.MustCompile(`^goroutine profile: total (\d+)`)
)

// measure reads the daemon's resources from /proc, its profiles and its metrics, after
// garbage collections.
func (to *target) measure() (f usage, err error) {
	if to.s3 != nil {
		to.s3.CloseClientConnections() // the daemon's idle connections
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

// number returns the first number in the content of path that the pattern matches.
func (to *target) number(path string, number *regexp.Regexp) (int64, error) {
	answer, err := to.monitor.Get(to.url(path))
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

// resident returns the resident memory of the process.
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

// descriptors counts the open descriptors by kind: sockets, pipes, files and anonymous
// inodes (pidfd, epoll).
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

// watch samples the resident memory until stop is closed, and returns the maximum.
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
			if most > residentKillLimit {
				to.Kill() // before the system kills another process
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

// resetPeak resets the system's maximum of the resident memory.
func (to *target) resetPeak() bool {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", to.PID()), []byte("5"), 0) == nil
}

var highWater = regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`)

// peak returns the system's maximum since resetPeak.
func (to *target) peak() int64 {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", to.PID()))
	found := highWater.FindSubmatch(content)
	if err != nil || found == nil {
		return 0
	}
	n, _ := strconv.ParseInt(string(found[1]), 10, 64) // digits
	return n << 10
}

// serveHealthy makes n uploads of 4 KiB, one after another with a pause of rest between
// them, as a healthy client. It returns the median of the time for create and PATCH.
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
		time.Sleep(rest) // the client's own pause
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
