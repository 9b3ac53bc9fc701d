package s3server

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
)

// Count is how often something was called, and the bytes of the bodies that
// were received and answered.
type Count struct {
	Calls    int
	Up, Down int64
}

// Counts tell what was called.
type Counts map[Operation]Count

// Total sums up all operations.
func (c Counts) Total() Count {
	var total Count
	for _, count := range c {
		total.Calls += count.Calls
		total.Up += count.Up
		total.Down += count.Down
	}
	return total
}

// ledger keeps the books of a Server. The zero value is ready to use.
type ledger struct {
	mu     sync.Mutex
	number int // of the last call; never reset
	calls  []Call
	counts Counts
}

// Counts returns how often each operation was called since the last Recount,
// calls that failed included. The bytes of calls that are under way count as
// far as they have come.
func (s *Server) Counts() Counts {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	return maps.Clone(s.ledger.counts)
}

// Calls returns the calls since the last Recount, in the order in which they
// arrived.
func (s *Server) Calls() []Call {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	return slices.Clone(s.ledger.calls)
}

// Recount begins to count from nothing.
func (s *Server) Recount() {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	s.ledger.calls, s.ledger.counts = nil, nil
}

// enter enters a call, and returns it with its number.
func (l *ledger) enter(call Call) Call {
	l.mu.Lock()
	l.number++
	call.Number = l.number
	l.calls = append(l.calls, call)
	l.mu.Unlock()
	l.add(call.Operation, Count{Calls: 1})
	return call
}

func (l *ledger) add(operation Operation, more Count) {
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

// meter counts the bytes that go through a request's body and its answer's.
func (l *ledger) meter(operation Operation, r *http.Request, w http.ResponseWriter) (io.Reader, http.ResponseWriter) {
	return &meteredBody{r.Body, l, operation}, &meteredWriter{w, l, operation}
}

type meteredBody struct {
	io.Reader
	ledger    *ledger
	operation Operation
}

func (b *meteredBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.ledger.add(b.operation, Count{Up: int64(n)})
	return n, err
}

type meteredWriter struct {
	http.ResponseWriter
	ledger    *ledger
	operation Operation
}

func (w *meteredWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.ledger.add(w.operation, Count{Down: int64(n)})
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (w *meteredWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
