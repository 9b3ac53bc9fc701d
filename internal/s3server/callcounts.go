package s3server

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
)

// Count is a number of calls, and the bytes of the bodies that were received
// and sent.
type Count struct {
	Calls    int
	Up, Down int64
}

// Counts has the calls of each operation.
type Counts map[Operation]Count

// Total returns the sum of all operations.
func (c Counts) Total() Count {
	var total Count
	for _, count := range c {
		total.Calls += count.Calls
		total.Up += count.Up
		total.Down += count.Down
	}
	return total
}

// callCounts counts the calls of a Server. The zero value is ready to use.
type callCounts struct {
	mu     sync.Mutex
	number int // of the last call; never reset
	calls  []Call
	counts Counts
}

// Counts returns the number of calls of each operation since the last Recount,
// failed calls included. The bytes of calls in progress are included as far as
// they were transferred.
func (s *Server) Counts() Counts {
	s.counts.mu.Lock()
	defer s.counts.mu.Unlock()
	return maps.Clone(s.counts.counts)
}

// Calls returns the calls since the last Recount, in the order in which they
// arrived.
func (s *Server) Calls() []Call {
	s.counts.mu.Lock()
	defer s.counts.mu.Unlock()
	return slices.Clone(s.counts.calls)
}

// Recount resets the counts and the list of calls.
func (s *Server) Recount() {
	s.counts.mu.Lock()
	defer s.counts.mu.Unlock()
	s.counts.calls, s.counts.counts = nil, nil
}

// enter adds a call, and returns it with its number.
func (l *callCounts) enter(call Call) Call {
	l.mu.Lock()
	l.number++
	call.Number = l.number
	l.calls = append(l.calls, call)
	l.mu.Unlock()
	l.add(call.Operation, Count{Calls: 1})
	return call
}

func (l *callCounts) add(operation Operation, more Count) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts == nil {
		l.counts = make(Counts)
	}
	count := l.counts[operation]
	count.Calls += more.Calls
	count.Up += more.Up
	count.Down += more.Down
	l.counts[operation] = count
}

// meter counts the bytes of a request's body and of its answer.
func (l *callCounts) meter(operation Operation, r *http.Request, w http.ResponseWriter) (io.Reader, http.ResponseWriter) {
	return &meteredBody{r.Body, l, operation}, &meteredWriter{w, l, operation}
}

type meteredBody struct {
	io.Reader
	ledger    *callCounts
	operation Operation
}

func (b *meteredBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.ledger.add(b.operation, Count{Up: int64(n)})
	return n, err
}

type meteredWriter struct {
	http.ResponseWriter
	ledger    *callCounts
	operation Operation
}

func (w *meteredWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.ledger.add(w.operation, Count{Down: int64(n)})
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (w *meteredWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
