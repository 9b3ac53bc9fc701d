package cli

import (
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tus/tusd"
	"github.com/tus/tusd/hooks"
	"github.com/tus/tusd/hooks/filehook"
	"github.com/tus/tusd/internal/guard"
	"github.com/tus/tusd/internal/lease"
	"github.com/tus/tusd/internal/logtest"
	"github.com/tus/tusd/prometheuscollector"
	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/storetest"
)

func inMemory(t *testing.T) *tusd.Handler {
	t.Helper()
	composer := tusd.NewStoreComposer()
	composer.UseCore(storetest.NewMemory())
	handler, err := tusd.NewHandler(tusd.Config{StoreComposer: composer, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

// hooksOf returns the hooks that have one hook, which needs no Close.
func hooksOf(t *testing.T, hook hooks.Hook) *hooks.Hooks {
	t.Helper()
	h, err := hooks.New(t.Context(), hooks.Config{Hooks: []hooks.Hook{hook}, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// newTestMetrics returns the metrics of a handler that has answered an error, like the
// daemon serves them.
func newTestMetrics(t *testing.T) (metrics http.Handler, queue *logQueue) {
	t.Helper()
	handler := inMemory(t)
	get(handler, "/none")
	_, queue = startLog(io.Discard, "text", false)
	t.Cleanup(func() { mustClose(t, queue) })
	bucket := newS3Metrics(10, func() s3store.MemoryUse { return s3store.MemoryUse{} })
	space := prometheuscollector.NewSpace(func() tusd.SpaceUsage { return tusd.SpaceUsage{} })
	health := newHealthHandler(nil, quiet, new(fakeCheck).probe("lock"))
	leases := newLeaseCollector("redis", func() lease.Stats { return lease.Stats{} })
	hookCalls := prometheuscollector.NewHooks(handler, hooksOf(t, &filehook.Hook{Dir: t.TempDir()}).Stats())
	further := slices.Concat(bucket.all, []prometheus.Collector{hookCalls, space, new(openConnections).collector(), health.readiness.collector(), leases}, queue.collectors())
	return newMetrics(handler.Metrics(), quiet, further...), queue
}

func TestMetricsParseNoLongRequests(t *testing.T) {
	metrics, _ := newTestMetrics(t)
	for what, change := range map[string]func(*http.Request){
		"a long Accept":       func(r *http.Request) { r.Header.Set("Accept", strings.Repeat("a/b,", 60<<10)) },
		"many lines":          func(r *http.Request) { r.Header["Accept-Encoding"] = slices.Repeat([]string{"gzip"}, 60<<10) },
		"a query of elements": func(r *http.Request) { r.URL.RawQuery = strings.Repeat("name[]=a&", 20<<10) },
	} {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		change(r)
		w := httptest.NewRecorder()
		if metrics.ServeHTTP(w, r); w.Code != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s: status %d, want 431", what, w.Code)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/metrics?name[]=go_goroutines", nil)
	r.Header.Set("Accept", "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.4,*/*;q=0.1")
	r.Header.Set("Accept-Encoding", "gzip")
	w := httptest.NewRecorder()
	if metrics.ServeHTTP(w, r); w.Code != http.StatusOK {
		t.Errorf("a usual scrape: status %d", w.Code)
	}
}

func TestMetrics(t *testing.T) {
	metrics, queue := newTestMetrics(t)
	mustClose(t, queue)
	queue.put([]byte("late\n"), logSource{})
	for _, want := range []string{
		`tusd_requests_total{method="GET"} 1`,
		`tusd_errors_total{code="ERR_UPLOAD_NOT_FOUND",status="404"} 1`,
		"tusd_connections_open 0",
		"tusd_log_lines_dropped_total 1",
		"tusd_log_lines_over_share_total 0",
		"go_goroutines ",
		"promhttp_metric_handler_requests_in_flight 1",
	} {
		mustAnswer(t, metrics, "/metrics", http.StatusOK, "\n"+want)
	}
}

// description is the type and the labels of a metric.
type description struct{ kind, labels string }

// TestMetricsDoc compares docs/metrics.md with the metrics that are served.
func TestMetricsDoc(t *testing.T) {
	metrics, _ := newTestMetrics(t)
	served := servedMetrics(get(metrics, "/metrics").Body.String())
	documented := documentedMetrics(t)
	for _, name := range slices.Sorted(maps.Keys(served)) {
		if documented[name] != served[name] {
			t.Errorf("%s is %+v; documented: %+v", name, served[name], documented[name])
		}
	}
	for name := range documented {
		if served[name] == (description{}) {
			t.Errorf("%s is documented, and not served", name)
		}
	}
}

var (
	typeLine   = regexp.MustCompile(`(?m)^# TYPE (tusd_\w+) (\w+)$`)
	labelNames = regexp.MustCompile(`(\w+)="`)
	tableRow   = regexp.MustCompile("(?m)^\\| `(tusd_\\w+)` \\| (\\w+) \\|([^|]*)\\|")
	quoted     = regexp.MustCompile("`(\\w+)`")
)

// besideLabels removes the labels that histograms and summaries have by their format.
var besideLabels = strings.NewReplacer(`le="`, "", `quantile="`, "")

func servedMetrics(text string) map[string]description {
	metrics := make(map[string]description)
	for _, found := range typeLine.FindAllStringSubmatch(text, -1) {
		name := found[1]
		_, series, _ := strings.Cut(text, found[0]+"\n")
		series, _, _ = strings.Cut(series, "\n")
		metrics[name] = description{found[2], list(labelNames, besideLabels.Replace(series))}
	}
	return metrics
}

func documentedMetrics(t *testing.T) map[string]description {
	t.Helper()
	text, err := os.ReadFile("../../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	metrics := make(map[string]description)
	for _, found := range tableRow.FindAllStringSubmatch(string(text), -1) {
		metrics[found[1]] = description{found[2], list(quoted, found[3])}
	}
	return metrics
}

// list returns the matches of expression in text, sorted.
func list(expression *regexp.Regexp, text string) string {
	var found []string
	for _, match := range expression.FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}
	slices.Sort(found)
	return strings.Join(found, ",")
}

// A client that disconnects during the answer of /metrics is not logged.
func TestMetricsClientDisconnects(t *testing.T) {
	var log logtest.Buffer
	metrics := newMetrics(inMemory(t).Metrics(), slog.New(slog.NewTextHandler(&log, nil)))
	guard.New(time.Minute).Page(1, metrics, nil).ServeHTTP(goneWriter{httptest.NewRecorder()}, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if log.String() != "" {
		t.Errorf("log: %s", log.String())
	}
}

// goneWriter fails like the connection of a client that has disconnected.
type goneWriter struct{ http.ResponseWriter }

func (goneWriter) Write([]byte) (int, error) { return 0, syscall.EPIPE }
