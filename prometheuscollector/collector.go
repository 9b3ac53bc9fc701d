// Package prometheuscollector exports the metrics of a tusd.Handler to Prometheus:
//
//	registry.MustRegister(prometheuscollector.New(handler.Metrics()))
//	registry.MustRegister(prometheuscollector.NewSpace(limited.Usage)) // of a limitedstore
//
// Metrics that tusd v2 has keep their names, so that dashboards still work;
// docs/metrics.md lists all. Series by method, limit or operation exist from the start
// with the value 0; tusd_errors_total gets a series with the first error of its kind.
package prometheuscollector

import (
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tus/tusd"
)

// Collector is a prometheus.Collector. Each collection reads the handler's counters. It is
// safe for concurrent use.
type Collector struct {
	metrics *tusd.Metrics
}

var _ prometheus.Collector = (*Collector)(nil)

// New returns the collector of a handler's metrics.
func New(metrics *tusd.Metrics) *Collector { return &Collector{metrics} }

// Names without _total are from tusd v2.
var (
	requestsTotal = describe("tusd_requests_total", "Requests begun, by effective method.", "method")
	errorsTotal   = describe("tusd_errors_total", "Requests answered with an error, by status and error code.", "status", "code")
	bytesReceived = describe("tusd_bytes_received", "Bytes of uploads that were received.")
	created       = describe("tusd_uploads_created", "Uploads created.")
	finished      = describe("tusd_uploads_finished", "Uploads finished.")
	terminated    = describe("tusd_uploads_terminated", "Uploads terminated by their clients, and final uploads discarded before.")
	expired       = describe("tusd_uploads_expired_total", "Uploads removed by sweeps.")
	evicted       = describe("tusd_uploads_evicted_total", "Uploads removed to make room for others.")
	sweeps        = describe("tusd_sweeps_total", "Sweeps that have ended.")
	sweepsFailed  = describe("tusd_sweeps_failed_total", "Sweeps that have ended with an error.")
	leftovers     = describe("tusd_leftovers_removed_total", "Leftovers of uploads removed by sweeps.")
	eventsFailed  = describe("tusd_events_failed_total", "Events that the program's sink did not take; a post-finish is sent again.")
	limits        = describe("tusd_limits_exceeded_total", "Requests that met a limit, by its name.", "limit")

	inFlight  = describe("tusd_requests_in_flight", "Requests being served now.")
	receiving = describe("tusd_uploads_receiving", "Requests with content being served now.")

	requestDuration = describe("tusd_request_duration_seconds", "Time from a request's header to the end of its answer, by method.", "method")
	timeToFirstByte = describe("tusd_time_to_first_byte_seconds", "Time from a request's header to the beginning of its answer, by method.", "method")
	lockWait        = describe("tusd_lock_wait_seconds", "Time that requests waited for the lock of their upload.")
	storeDuration   = describe("tusd_store_operation_duration_seconds", "Time that the store took, by operation, without waiting for clients.", "operation")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (*Collector) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{
		requestsTotal, errorsTotal, bytesReceived, created, finished, terminated, expired, evicted, sweeps, sweepsFailed, leftovers, eventsFailed, limits,
		inFlight, receiving,
		requestDuration, timeToFirstByte, lockWait, storeDuration,
	} {
		to <- desc
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	m := c.metrics
	counters(to, requestsTotal, m.RequestsTotal)
	for kind, n := range m.ErrorsTotal() {
		to <- counter(errorsTotal, n, strconv.Itoa(kind.Status), kind.Code)
	}
	to <- counter(bytesReceived, m.BytesReceived.Load())
	to <- counter(created, m.UploadsCreated.Load())
	to <- counter(finished, m.UploadsFinished.Load())
	to <- counter(terminated, m.UploadsTerminated.Load())
	to <- counter(expired, m.UploadsExpired.Load())
	to <- counter(evicted, m.UploadsEvicted.Load())
	to <- counter(sweeps, m.Sweeps.Load())
	to <- counter(sweepsFailed, m.SweepsFailed.Load())
	to <- counter(leftovers, m.LeftoversRemoved.Load())
	to <- counter(eventsFailed, m.EventsFailed.Load())
	counters(to, limits, m.LimitsExceeded)
	to <- gauge(inFlight, m.RequestsInFlight.Load())
	to <- gauge(receiving, m.UploadsReceiving.Load())
	histograms(to, requestDuration, m.RequestDuration)
	histograms(to, timeToFirstByte, m.TimeToFirstByte)
	to <- histogram(lockWait, m.LockWait)
	histograms(to, storeDuration, m.StoreDuration)
}

func counters(to chan<- prometheus.Metric, desc *prometheus.Desc, byLabel map[string]*atomic.Uint64) {
	for label, c := range byLabel {
		to <- counter(desc, c.Load(), label)
	}
}

func histograms(to chan<- prometheus.Metric, desc *prometheus.Desc, byLabel map[string]*tusd.Histogram) {
	for label, h := range byLabel {
		to <- histogram(desc, h, label)
	}
}

func counter(desc *prometheus.Desc, n uint64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), labels...)
}

func gauge(desc *prometheus.Desc, n int64) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n))
}

// histogram adds up the buckets: a bucket of Prometheus includes the smaller ones.
func histogram(desc *prometheus.Desc, h *tusd.Histogram, labels ...string) prometheus.Metric {
	s := h.Snapshot()
	upTo := make(map[float64]uint64, len(s.Bounds))
	var n uint64
	for i, bound := range s.Bounds {
		n += s.Counts[i]
		upTo[bound] = n
	}
	return prometheus.MustNewConstHistogram(desc, s.Count, s.Sum, upTo, labels...)
}
