package cli

import (
	"log/slog"
	"net/http"
	"sync/atomic"

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
	return refuseLong(toWhoeverStays(promhttp.InstrumentMetricHandler(registry, promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ErrorHandling: promhttp.ContinueOnError, // most metrics are better than none
	}))))
}

// refuseLong refuses requests with more to parse than any scraper sends:
// package promhttp makes an object of each element.
func refuseLong(next http.Handler) http.Handler {
	const longest = 8 << 10
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := len(r.URL.RawQuery)
		for _, name := range []string{"Accept", "Accept-Encoding"} {
			for _, value := range r.Header[name] {
				n += len(value)
			}
		}
		if n > longest {
			answerText(w, http.StatusRequestHeaderFieldsTooLarge, "The request is too large.\n")
			return
		}
		next.ServeHTTP(w, r)
	})
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

// collectors count lines that were lost.
func (q *logQueue) collectors() []prometheus.Collector {
	counter := func(n *atomic.Uint64, name, help string) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(n.Load()) })
	}
	return []prometheus.Collector{
		counter(&q.dropped, "tusd_log_lines_dropped_total", "Log lines lost because the log was not read fast enough or could not be written."),
		counter(&q.overShare, "tusd_log_lines_over_share_total", "Those of the lost log lines that were lost because one client had caused more than its share."),
	}
}
