package cli

import (
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tus/tusd"
	"github.com/tus/tusd/prometheuscollector"
)

// newMetrics serves to Prometheus what the handler counts, further metrics of
// the daemon, and those of the Go runtime, the process and this handler
// itself. docs/metrics.md lists what is ours.
func newMetrics(uploads *tusd.Metrics, log *slog.Logger, further ...prometheus.Collector) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheuscollector.New(uploads),
	)
	registry.MustRegister(further...)
	return toWhoeverStays(promhttp.InstrumentMetricHandler(registry, promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ErrorHandling: promhttp.ContinueOnError, // most metrics are better than none
	})))
}

// toWhoeverStays hides from next that a client has gone: package promhttp
// would warn of it, once for each metric.
func toWhoeverStays(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(patientWriter{w}, r)
	})
}

// patientWriter takes everything.
type patientWriter struct{ http.ResponseWriter }

func (w patientWriter) Write(p []byte) (int, error) {
	w.ResponseWriter.Write(p) // who has gone needs no metrics
	return len(p), nil
}

func (w patientWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// collector counts lines that were lost.
func (q *logQueue) collector() prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "tusd_log_lines_dropped_total", Help: "Log lines lost because the log was not read fast enough or could not be written.",
	}, func() float64 { return float64(q.dropped.Load()) })
}
