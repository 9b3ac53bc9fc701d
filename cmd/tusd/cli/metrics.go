package cli

import (
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tus/tusd"
	"github.com/tus/tusd/prometheuscollector"
)

// newMetrics serves to Prometheus the metrics of the handler, further ones of
// the daemon, and those of the Go runtime, the process and this page itself.
// docs/metrics.md lists ours.
func newMetrics(uploads *tusd.Metrics, log *slog.Logger, further ...prometheus.Collector) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheuscollector.New(uploads),
	)
	registry.MustRegister(further...)
	gather := prometheus.GathererFunc(singleFlight(registry.Gather))
	return refuseLong(promhttp.InstrumentMetricHandler(registry, promhttp.HandlerFor(gather, promhttp.HandlerOpts{
		ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ErrorHandling: promhttp.ContinueOnError, // most metrics are better than none
	})))
}

// refuseLong refuses requests that are longer than those of any scraper:
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
			textPage(http.StatusRequestHeaderFieldsTooLarge, "The request is too large.\n").ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// errGatherPanicked is the result for waiters if the shared call panics.
var errGatherPanicked = errors.New("the metrics could not be gathered")

// singleFlight returns a function that calls call once for all callers that
// come while it runs. The result is read-only.
func singleFlight[T any](call func() (T, error)) func() (T, error) {
	type result struct {
		done  chan struct{}
		value T
		err   error
	}
	var mu sync.Mutex
	var running *result
	return func() (T, error) {
		mu.Lock()
		if r := running; r != nil {
			mu.Unlock()
			<-r.done
			return r.value, r.err
		}
		own := &result{done: make(chan struct{}), err: errGatherPanicked}
		running = own
		mu.Unlock()
		defer func() {
			mu.Lock()
			running = nil
			mu.Unlock()
			close(own.done)
		}()
		own.value, own.err = call()
		return own.value, own.err
	}
}

// collectors returns the metrics of lost log lines.
func (q *logQueue) collectors() []prometheus.Collector {
	counter := func(n *atomic.Uint64, name, help string) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(n.Load()) })
	}
	return []prometheus.Collector{
		counter(&q.dropped, "tusd_log_lines_dropped_total", "Log lines lost because the log was not read fast enough or could not be written."),
		counter(&q.overShare, "tusd_log_lines_over_share_total", "Those of the lost log lines that were lost because one client had caused more than its share."),
	}
}

// hookCollectors returns the metrics of the hooks, if there are any.
func (d *daemon) hookCollectors() []prometheus.Collector {
	if d.hooks == nil {
		return nil
	}
	return []prometheus.Collector{prometheuscollector.NewHooks(d.uploads, d.hooks.Stats())}
}

// collector returns the metric of open connections.
func (c *openConnections) collector() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tusd_connections_open", Help: "Connections of clients that are open now.",
	}, func() float64 { return float64(c.count()) })
}
