package tusd

import (
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// Metrics counts what a Handler does. It may be read at any time; the maps themselves
// never change. Counters only grow; RequestsInFlight and UploadsReceiving are gauges.
type Metrics struct {
	RequestsTotal     map[string]*atomic.Uint64 // by effective method; methods that are not served are not counted
	BytesReceived     atomic.Uint64             // content that was received, counted while it is; also what a checksum rejects then
	UploadsCreated    atomic.Uint64
	UploadsFinished   atomic.Uint64 // with partial and final uploads
	UploadsTerminated atomic.Uint64 // by clients and programs
	UploadsExpired    atomic.Uint64 // removed by Handler.Sweep
	UploadsEvicted    atomic.Uint64 // removed by a store to make room
	Sweeps            atomic.Uint64 // that have ended
	SweepsFailed      atomic.Uint64 // of these, with an error
	LeftoversRemoved  atomic.Uint64 // by Handler.Sweep
	EventsFailed      atomic.Uint64 // calls of EventSink.Send that failed
	EventsDropped     atomic.Uint64 // events that Config.Delivery has not delivered and does not deliver: replaced by a newer post-receive, or lost with BestEffort
	EventsDead        atomic.Uint64 // events that Config.Delivery has given up

	RequestsInFlight atomic.Int64 // requests being served now
	UploadsReceiving atomic.Int64 // of these, requests with content

	// LimitsExceeded counts requests that exceeded a limit, by the name of the limit.
	LimitsExceeded map[string]*atomic.Uint64

	RequestDuration map[string]*Histogram // of whole requests, by method
	TimeToFirstByte map[string]*Histogram // until the answer begins, by method
	LockWait        *Histogram            // for an upload's lock, also without success
	// StoreDuration is how long calls of the store took, by operation. Writing excludes
	// the time in which the store waited for the client.
	StoreDuration map[string]*Histogram

	store storeTimes

	mu     sync.Mutex
	errors map[ErrorCount]uint64
}

// SpaceUsage is how much of its limit a store uses.
type SpaceUsage struct {
	Limit    int64  // bytes
	Stored   int64  // bytes that are stored
	Reserved int64  // bytes that count against the limit: also those that uploads will have
	Exact    bool   // if not, Stored is an estimate and Reserved an upper bound: the uploads are being counted, or changes are in doubt
	Owners   int    // that have uploads, if the store has a quota for owners
	Evicted  uint64 // uploads that were removed to make room
}

// ErrorCount is the key by which errors are counted.
type ErrorCount struct {
	Code   string
	Status int
}

// storeTimes are the histograms of Metrics.StoreDuration.
type storeTimes struct {
	create, load, makeDurable, write, update, declare, finish, terminate, concat *Histogram
}

// limitNames maps the code of an error to the name of the limit that was exceeded.
var limitNames = map[string]string{
	ErrHeaderTooLarge.Code:   "header_size",
	ErrMetaDataTooLarge.Code: "metadata_size",
	ErrMaxSizeExceeded.Code:  "upload_size",
	ErrTooManyPartials.Code:  "partials",
	ErrAppendTooLarge.Code:   "append_size",
	ErrTooManyRequests.Code:  "requests",
	ErrTooManyUploads.Code:   "uploads_per_client",
	ErrTooManyFinals.Code:    "finals",
	ErrTooSlow.Code:          "rate",
	ErrReadTimeout.Code:      "idle_time",
	ErrNoSpace.Code:          "free_space",
}

func newMetrics() *Metrics {
	m := &Metrics{
		RequestsTotal:   make(map[string]*atomic.Uint64),
		LimitsExceeded:  make(map[string]*atomic.Uint64),
		RequestDuration: make(map[string]*Histogram),
		TimeToFirstByte: make(map[string]*Histogram),
		LockWait:        new(Histogram),
		errors:          make(map[ErrorCount]uint64),
	}
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete, http.MethodOptions} {
		m.RequestsTotal[method] = new(atomic.Uint64)
		m.RequestDuration[method] = new(Histogram)
		m.TimeToFirstByte[method] = new(Histogram)
	}
	for _, name := range limitNames {
		m.LimitsExceeded[name] = new(atomic.Uint64)
	}
	s := storeTimes{new(Histogram), new(Histogram), new(Histogram), new(Histogram), new(Histogram), new(Histogram), new(Histogram), new(Histogram), new(Histogram)}
	m.store = s
	m.StoreDuration = map[string]*Histogram{
		"create": s.create, "load": s.load, "make_durable": s.makeDurable, "write": s.write, "update": s.update,
		"declare_length": s.declare, "finish": s.finish, "terminate": s.terminate, "concat": s.concat,
	}
	return m
}

// removed returns the counter of uploads that are removed for a reason.
func (m *Metrics) removed(reason RemovalReason) *atomic.Uint64 {
	switch reason {
	case RemovedExpired:
		return &m.UploadsExpired
	case RemovedForSpace:
		return &m.UploadsEvicted
	}
	return &m.UploadsTerminated
}

// swept counts a sweep.
func (m *Metrics) swept(s *SweepSummary, dryRun bool, err error) {
	m.Sweeps.Add(1)
	if err != nil {
		m.SweepsFailed.Add(1)
	}
	if !dryRun {
		m.LeftoversRemoved.Add(uint64(s.Leftovers))
	}
}

// begun counts the start of a request. The caller calls ended when the request is over.
func (m *Metrics) begun(method string, content bool) {
	if c := m.RequestsTotal[method]; c != nil {
		c.Add(1)
	}
	m.RequestsInFlight.Add(1)
	if content {
		m.UploadsReceiving.Add(1)
	}
}

// ended counts the end of a request and its duration.
func (m *Metrics) ended(method string, content bool, took time.Duration) {
	m.RequestsInFlight.Add(-1)
	if content {
		m.UploadsReceiving.Add(-1)
	}
	if h := m.RequestDuration[method]; h != nil {
		h.Observe(took)
	}
}

// answered counts the start of an answer.
func (m *Metrics) answered(method string, after time.Duration) {
	if h := m.TimeToFirstByte[method]; h != nil {
		h.Observe(after)
	}
}

func (m *Metrics) failed(code string, status int) {
	if c := m.LimitsExceeded[limitNames[code]]; c != nil {
		c.Add(1)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	count := ErrorCount{code, status}
	if _, known := m.errors[count]; !known {
		if len(m.errors) >= maxErrorCounts || len(code) > maxErrorCode || !utf8.ValidString(code) {
			code = "ERR_OTHER"
		}
		count.Code = strings.Clone(code) // the code of a callback may be a slice of a large string
	}
	m.errors[count]++
}

// maxErrorCounts and maxErrorCode (bytes) limit the codes that callbacks can add. The
// codes of this package are fewer and shorter.
const (
	maxErrorCounts = 500
	maxErrorCode   = 100
)

// ErrorsTotal returns how often each error was answered.
func (m *Metrics) ErrorsTotal() map[ErrorCount]uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.errors)
}

// bucketBounds are the upper ends of a Histogram's buckets. The last bucket has none.
// Uploads take from milliseconds to hours.
var bucketBounds = [...]time.Duration{
	500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second,
	time.Minute, 5 * time.Minute, 30 * time.Minute, 3 * time.Hour,
}

// Histogram counts durations in buckets. The zero value is ready to use. Safe
// for concurrent use, and cheap: an observation takes no lock.
type Histogram struct {
	counts [len(bucketBounds) + 1]atomic.Uint64
	sum    atomic.Int64 // nanoseconds
}

// HistogramSnapshot is a Histogram at one moment.
type HistogramSnapshot struct {
	Bounds []float64 // upper ends of the buckets in seconds, ascending; the last bucket has none
	Counts []uint64  // of each bucket alone; one more than Bounds
	Count  uint64    // of all buckets
	Sum    float64   // of all durations, in seconds
}

// Observe counts d.
func (h *Histogram) Observe(d time.Duration) {
	i := 0
	for i < len(bucketBounds) && d > bucketBounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

// since observes the time that has passed since start.
func (h *Histogram) since(start time.Time) { h.Observe(time.Since(start)) }

// Snapshot returns the current counts. A concurrent observation may be in Counts and
// not yet in Sum.
func (h *Histogram) Snapshot() HistogramSnapshot {
	s := HistogramSnapshot{Counts: make([]uint64, len(h.counts)), Sum: time.Duration(h.sum.Load()).Seconds()}
	for _, b := range bucketBounds {
		s.Bounds = append(s.Bounds, b.Seconds())
	}
	for i := range h.counts {
		s.Counts[i] = h.counts[i].Load()
		s.Count += s.Counts[i]
	}
	return s
}
