package prometheuscollector_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/prometheuscollector"
	"github.com/tus/tusd/storetest"
)

// server is an HTTP server with a handler, and its collector in a registry that compares
// the collected metrics with their descriptions.
type server struct {
	*httptest.Server
	handler   *tusd.Handler
	metrics   *tusd.Metrics
	collector prometheus.Collector
	registry  *prometheus.Registry
}

func newServer(t *testing.T) *server {
	t.Helper()
	composer := tusd.NewStoreComposer()
	composer.UseCore(storetest.NewMemory())
	handler, err := tusd.NewHandler(tusd.Config{StoreComposer: composer, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Server: httptest.NewServer(handler), handler: handler, metrics: handler.Metrics(), registry: prometheus.NewPedanticRegistry()}
	t.Cleanup(s.Close)
	s.collector = prometheuscollector.New(s.metrics)
	if err := s.registry.Register(s.collector); err != nil {
		t.Fatal(err)
	}
	return s
}

// request sends a request of tus 1.0 and returns its answer.
func (s *server) request(t *testing.T, method, url, content string, header ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Tus-Resumable", "1.0.0")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
	return answer
}

// expose returns the metrics as Prometheus reads them.
func (s *server) expose(t *testing.T) string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestMetricsBeforeTheFirstRequest(t *testing.T) {
	s := newServer(t)
	text := s.expose(t)
	for _, want := range []string{
		`tusd_requests_total{method="PATCH"} 0`,
		`tusd_limits_exceeded_total{limit="metadata_size"} 0`,
		`tusd_request_duration_seconds_count{method="HEAD"} 0`,
		`tusd_time_to_first_byte_seconds_bucket{method="GET",le="+Inf"} 0`,
		`tusd_store_operation_duration_seconds_sum{operation="write"} 0`,
		`tusd_lock_wait_seconds_count 0`,
		`tusd_requests_in_flight 0`,
		`tusd_uploads_receiving 0`,
	} {
		mustHaveLine(t, text, want)
	}
	for _, name := range []string{"tusd_bytes_received", "tusd_uploads_created", "tusd_uploads_finished", "tusd_uploads_terminated"} {
		mustHaveLine(t, text, name+" 0")
	}
	if strings.Contains(text, "tusd_errors_total") {
		t.Errorf("errors are counted, but there was none: %s", text)
	}
}

// mustHaveLine checks that text has a line. The error has the lines of the same metric.
func mustHaveLine(t *testing.T, text, want string) {
	t.Helper()
	name, _, _ := strings.Cut(want, " ")
	name, _, _ = strings.Cut(name, "{")
	var similar []string
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if line == want {
			return
		}
		if strings.HasPrefix(line, name) {
			similar = append(similar, line)
		}
	}
	t.Errorf("no line %s, but\n%s", want, strings.Join(similar, "\n"))
}

func TestRequestsAreCounted(t *testing.T) {
	s := newServer(t)
	url := s.request(t, http.MethodPost, s.URL, "", "Upload-Length", "5").Header.Get("Location")
	s.request(t, http.MethodPatch, url, "hello", "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream")
	s.request(t, http.MethodDelete, url, "")
	s.request(t, http.MethodHead, url, "")
	s.request(t, http.MethodPost, s.URL, "", "Upload-Length", "5", "Upload-Metadata", "x "+strings.Repeat("AAAA", 8<<10))
	want := []string{
		`tusd_requests_total{method="POST"} 2`,
		`tusd_requests_total{method="PATCH"} 1`,
		`tusd_errors_total{code="ERR_UPLOAD_NOT_FOUND",status="404"} 1`,
		`tusd_limits_exceeded_total{limit="metadata_size"} 1`,
		`tusd_bytes_received 5`,
		`tusd_uploads_created 1`,
		`tusd_uploads_finished 1`,
		`tusd_uploads_terminated 1`,
		`tusd_request_duration_seconds_count{method="HEAD"} 1`,
		`tusd_time_to_first_byte_seconds_count{method="DELETE"} 1`,
		`tusd_store_operation_duration_seconds_count{operation="write"} 1`,
	}
	// For the server, a request ends shortly after its client has the answer.
	for deadline := time.Now().Add(20 * time.Second); s.metrics.RequestsInFlight.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the requests do not end")
		}
	}
	text := s.expose(t)
	for _, line := range want {
		mustHaveLine(t, text, line)
	}
}

// A bucket includes the smaller ones; the last one includes all.
func TestBucketsAddUp(t *testing.T) {
	s := newServer(t)
	for _, took := range []time.Duration{time.Microsecond, 2 * time.Millisecond, 4 * time.Second, 1000 * time.Hour} {
		s.metrics.LockWait.Observe(took)
	}
	text := s.expose(t)
	for _, want := range []string{
		`tusd_lock_wait_seconds_bucket{le="0.001"} 1`,
		`tusd_lock_wait_seconds_bucket{le="0.0025"} 2`,
		`tusd_lock_wait_seconds_bucket{le="1"} 2`,
		`tusd_lock_wait_seconds_bucket{le="5"} 3`,
		`tusd_lock_wait_seconds_bucket{le="+Inf"} 4`,
		`tusd_lock_wait_seconds_count 4`,
	} {
		mustHaveLine(t, text, want)
	}
}

// A collection while requests run is consistent (the registry is pedantic).
func TestCollectDuringRequests(t *testing.T) {
	s := newServer(t)
	var working sync.WaitGroup
	for range 4 {
		working.Go(func() {
			for range 200 {
				s.metrics.LockWait.Observe(time.Millisecond)
				s.metrics.BytesReceived.Add(1)
			}
		})
	}
	for range 20 {
		if _, err := s.registry.Gather(); err != nil {
			t.Error(err)
		}
	}
	working.Wait()
	mustHaveLine(t, s.expose(t), "tusd_bytes_received 800")
}

// What sweeps and evictions have removed is counted.
func TestRemovalsAreCounted(t *testing.T) {
	s := newServer(t)
	if _, err := s.handler.Sweep(t.Context(), tusd.SweepPolicy{}); err != nil {
		t.Fatal(err)
	}
	s.metrics.UploadsExpired.Add(2)
	s.metrics.UploadsEvicted.Add(3)
	s.metrics.SweepsFailed.Add(4)
	s.metrics.LeftoversRemoved.Add(5)
	text := s.expose(t)
	for _, want := range []string{
		"tusd_sweeps_total 1", "tusd_uploads_expired_total 2", "tusd_uploads_evicted_total 3",
		"tusd_sweeps_failed_total 4", "tusd_leftovers_removed_total 5",
	} {
		mustHaveLine(t, text, want)
	}
}

// The space of a store with a limit has gauges.
func TestSpace(t *testing.T) {
	s := newServer(t)
	usage := tusd.SpaceUsage{Limit: 100, Stored: 30, Reserved: 60}
	if err := s.registry.Register(prometheuscollector.NewSpace(func() tusd.SpaceUsage { return usage })); err != nil {
		t.Fatal(err)
	}
	text := s.expose(t)
	for _, want := range []string{"tusd_store_limit_bytes 100", "tusd_store_bytes 30", "tusd_store_reserved_bytes 60", "tusd_store_sum_exact 0"} {
		mustHaveLine(t, text, want)
	}
	usage.Exact = true
	mustHaveLine(t, s.expose(t), "tusd_store_sum_exact 1")
	if problems, err := testutil.GatherAndLint(s.registry, "tusd_store_bytes", "tusd_store_reserved_bytes", "tusd_store_limit_bytes", "tusd_store_sum_exact"); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

// v2Names are the counters with the names of tusd v2, which have no _total.
var v2Names = []string{"tusd_bytes_received", "tusd_uploads_created", "tusd_uploads_finished", "tusd_uploads_terminated"}

func TestMetricNames(t *testing.T) {
	s := newServer(t)
	s.request(t, http.MethodHead, s.URL+"/none", "")
	problems, err := testutil.GatherAndLint(s.registry)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, p := range problems {
		found = append(found, fmt.Sprintf("%s %s", p.Metric, p.Text))
	}
	wantOnlyV2Names(t, found)
}

func TestPromtool(t *testing.T) {
	_, err := exec.LookPath("promtool")
	require.Need(t, "promtool", err == nil, "promtool is not on the PATH")
	s := newServer(t)
	s.request(t, http.MethodHead, s.URL+"/none", "")
	check := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
	check.Stdin = strings.NewReader(s.expose(t))
	var output bytes.Buffer
	check.Stdout, check.Stderr = &output, &output
	err = check.Run()
	const lintErrors = 3 // the exit code of promtool for valid metrics with lint errors
	if check.ProcessState == nil || check.ProcessState.ExitCode() != lintErrors {
		t.Fatalf("promtool: %v: %s", err, &output)
	}
	wantOnlyV2Names(t, strings.Split(strings.TrimSpace(output.String()), "\n"))
}

// wantOnlyV2Names checks that there is exactly one problem for each name of v2Names, and
// that it is the missing _total.
func wantOnlyV2Names(t *testing.T, problems []string) {
	t.Helper()
	var names []string
	for _, problem := range problems {
		name, text, _ := strings.Cut(problem, " ")
		names = append(names, name)
		if !strings.Contains(text, "_total") {
			t.Errorf("%s", problem)
		}
	}
	slices.Sort(names)
	if !slices.Equal(names, v2Names) {
		t.Errorf("problems with %q, want only the names of tusd v2: %q", names, v2Names)
	}
}
