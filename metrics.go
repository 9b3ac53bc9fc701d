package tusd

import (
	"net/http"
	"sync"
	"sync/atomic"
)

// Metrics counts what a Handler does. All counters only grow; read them with
// Load at any time.
type Metrics struct {
	RequestsTotal     map[string]*atomic.Uint64 // by method; the map itself never changes
	BytesReceived     atomic.Uint64             // of uploads, as far as they were stored
	UploadsCreated    atomic.Uint64
	UploadsFinished   atomic.Uint64
	UploadsTerminated atomic.Uint64

	mu     sync.Mutex
	errors map[ErrorCount]uint64
}

// ErrorCount is what errors are counted by.
type ErrorCount struct {
	Code   string
	Status int
}

func newMetrics() *Metrics {
	m := &Metrics{RequestsTotal: make(map[string]*atomic.Uint64), errors: make(map[ErrorCount]uint64)}
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete, http.MethodOptions} {
		m.RequestsTotal[method] = new(atomic.Uint64)
	}
	return m
}

func (m *Metrics) request(method string) {
	if c := m.RequestsTotal[method]; c != nil {
		c.Add(1)
	}
}

func (m *Metrics) failed(code string, status int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.errors[ErrorCount{code, status}]++
}

// ErrorsTotal returns how often each error was answered.
func (m *Metrics) ErrorsTotal() map[ErrorCount]uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	counts := make(map[ErrorCount]uint64, len(m.errors))
	for k, v := range m.errors {
		counts[k] = v
	}
	return counts
}
