package cli

import (
	"context"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/s3store/awsv1"
)

// s3Operations are the calls of a store, as S3 names them.
var s3Operations = []string{
	"AbortMultipartUpload", "CompleteMultipartUpload", "CreateMultipartUpload", "DeleteObject", "DeleteObjects",
	"GetObject", "HeadObject", "ListMultipartUploads", "ListObjectsV2", "ListParts", "PutObject", "UploadPart", "UploadPartCopy",
}

// s3OperationsOfV2 are the calls that tusd v2 measures, as it names them.
var s3OperationsOfV2 = []string{
	"get_info_object", "put_info_object", "create_multipart_upload", "complete_multipart_upload", "upload_part",
	"list_parts", "head_part_object", "get_part_object", "put_part_object", "delete_part_object",
}

// s3Metrics count the calls of a service. Its methods may be called
// concurrently.
type s3Metrics struct {
	ofV2     *prometheus.SummaryVec
	duration *prometheus.HistogramVec
	retries  *prometheus.CounterVec
	parts    atomic.Int64 // that are uploaded now
	all      []prometheus.Collector
}

// newS3Metrics returns metrics that call memory at each scrape.
func newS3Metrics(concurrentParts int, memory func() s3store.MemoryUse) *s3Metrics {
	m := &s3Metrics{
		ofV2: prometheus.NewSummaryVec(prometheus.SummaryOpts{
			Name: "tusd_s3_request_duration_ms", Help: "Duration of calls of S3 in milliseconds, by the names of tusd v2.",
			Objectives: map[float64]float64{0.5: 0.05, 0.9: 0.01, 0.99: 0.001},
		}, []string{"operation"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tusd_s3_request_duration_seconds", Help: "Duration of calls of S3 until the header of the answer.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"operation"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tusd_s3_retries_total", Help: "Calls of S3 that failed and were made once more.",
		}, []string{"operation"}),
	}
	for _, name := range s3OperationsOfV2 {
		m.ofV2.WithLabelValues(name)
	}
	for _, name := range s3Operations {
		m.duration.WithLabelValues(name)
		m.retries.WithLabelValues(name)
	}
	m.all = append(m.gauges(concurrentParts, memory), m.ofV2, m.duration, m.retries)
	return m
}

func (m *s3Metrics) gauges(concurrentParts int, memory func() s3store.MemoryUse) []prometheus.Collector {
	gauge := func(name, help string, value func() int64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(value()) })
	}
	return []prometheus.Collector{
		gauge("tusd_s3_upload_semaphore_demand", "Parts that are uploaded to S3 now.", m.parts.Load),
		gauge("tusd_s3_upload_semaphore_limit", "How many parts may be uploaded to S3 at the same time.", func() int64 { return int64(concurrentParts) }),
		gauge("tusd_s3_pool_bytes", "Memory in use for content on its way to S3.", func() int64 { return memory().Reserved }),
		gauge("tusd_s3_pool_limit_bytes", "Memory that there is for content on its way to S3.", func() int64 { return memory().Size }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "tusd_s3_pool_waits_total", Help: "How often content on its way to S3 had to wait for memory.",
		}, func() float64 { return float64(memory().Waits) }),
	}
}

func (m *s3Metrics) observe(c awsv1.Call) {
	m.duration.WithLabelValues(c.Operation).Observe(c.Took.Seconds())
	if name := nameInV2(c); name != "" {
		m.ofV2.WithLabelValues(name).Observe(float64(c.Took.Microseconds()) / 1000)
	}
}

func (m *s3Metrics) retried(operation string) { m.retries.WithLabelValues(operation).Inc() }

// nameInV2 returns the name that tusd v2 has for a call; "": it does not
// measure it.
func nameInV2(c awsv1.Call) string {
	switch c.Operation {
	case "CreateMultipartUpload":
		return "create_multipart_upload"
	case "CompleteMultipartUpload":
		return "complete_multipart_upload"
	case "UploadPart":
		return "upload_part"
	case "ListParts":
		return "list_parts"
	}
	verb := map[string]string{"GetObject": "get", "PutObject": "put", "HeadObject": "head", "DeleteObject": "delete"}[c.Operation]
	switch {
	case (verb == "get" || verb == "put") && strings.HasSuffix(c.Key, ".info"):
		return verb + "_info_object"
	case verb != "" && strings.HasSuffix(c.Key, ".part"):
		return verb + "_part_object"
	}
	return ""
}

// counting returns client with its uploads of parts counted.
func (m *s3Metrics) counting(client listingClient) s3store.Client {
	return &partCounter{listingClient: client, parts: &m.parts}
}

// listingClient is a client that can also list multipart uploads.
type listingClient interface {
	s3store.Client
	s3store.MultipartLister
}

type partCounter struct {
	listingClient
	parts *atomic.Int64 // under way
}

func (c *partCounter) UploadPart(ctx context.Context, in s3store.UploadPart) (string, error) {
	c.parts.Add(1)
	defer c.parts.Add(-1)
	return c.listingClient.UploadPart(ctx, in)
}

func (c *partCounter) CopyPart(ctx context.Context, in s3store.CopyPart) (string, error) {
	c.parts.Add(1)
	defer c.parts.Add(-1)
	return c.listingClient.CopyPart(ctx, in)
}
