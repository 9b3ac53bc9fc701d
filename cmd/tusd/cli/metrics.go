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
	return promhttp.InstrumentMetricHandler(registry, promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ErrorHandling: promhttp.ContinueOnError, // most metrics are better than none
	}))
}

// collector counts lines that were lost.
func (q *logQueue) collector() prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "tusd_log_lines_dropped_total", Help: "Log lines lost because the log was not read fast enough or could not be written.",
	}, func() float64 { return float64(q.dropped.Load()) })
}
