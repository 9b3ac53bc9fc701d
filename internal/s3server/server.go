package s3server

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Options say what a Server is like. The zero value is ready to use.
type Options struct {
	Bucket    string // "": "bucket"
	AccessKey string // "": "access"; the secret may be anything
	Quirks    Quirks

	// Discard lets contents of more than so many bytes be forgotten, so that
	// huge parts cost no memory and little time: only their length and an
	// ETag that depends on their bytes stay, and they read as zeros. 0: all
	// contents are kept.
	Discard int64

	// Now tells the time; nil: time.Now. What it tells is also in the Date
	// of answers.
	Now func() time.Time
}

// Server is an S3 service with one bucket. Its methods may be called
// concurrently, also while calls are being served.
type Server struct {
	URL string // where it listens; "" if it was not started

	options Options
	fault   atomic.Pointer[func(Call) Outcome]
	closed  chan struct{} // ends calls that are delayed or held
	ledger  ledger

	mu    sync.Mutex
	state state
}

// New returns a Server with an empty bucket, to be used as http.Handler.
func New(options Options) *Server {
	if options.Bucket == "" {
		options.Bucket = "bucket"
	}
	if options.AccessKey == "" {
		options.AccessKey = "access"
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	return &Server{options: options, closed: make(chan struct{}), state: newState()}
}

// Start returns a Server that listens on a port of its own until tb ends.
func Start(tb testing.TB, options Options) *Server {
	tb.Helper()
	s := New(options)
	listener := httptest.NewServer(s)
	s.URL = listener.URL
	tb.Cleanup(func() {
		close(s.closed) // before: Close waits for the calls under way
		listener.Close()
	})
	return s
}

// Bucket returns the name of the one bucket.
func (s *Server) Bucket() string { return s.options.Bucket }

// AccessKey returns the access key that calls must be signed with.
func (s *Server) AccessKey() string { return s.options.AccessKey }

// Fault lets f decide what becomes of each call from now on; nil: all are
// served. Calls ask f concurrently.
func (s *Server) Fault(f func(Call) Outcome) {
	if f == nil {
		s.fault.Store(nil)
		return
	}
	s.fault.Store(&f)
}

// ServeHTTP serves one call of S3.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := s.parse(r)
	outcome := s.decide(q.Call).within(q)
	q.body, w = s.ledger.meter(q.Operation, r, w)
	w.Header().Set("Date", s.options.Now().UTC().Format(http.TimeFormat))
	w.Header().Set("X-Amz-Request-Id", rand.Text())
	if outcome.cutsRequest(q) {
		q.cut(w, outcome.After)
		return
	}
	answer := s.answer(q, outcome)
	if answer == nil { // the client has gone
		panic(http.ErrAbortHandler)
	}
	outcome.deliver(w, q, answer)
}

// decide enters a call in the books, and asks the test what becomes of it.
func (s *Server) decide(call Call) Outcome {
	call = s.ledger.enter(call)
	if f := s.fault.Load(); f != nil {
		return (*f)(call)
	}
	return Outcome{}
}

// answer does what is asked, or what the outcome makes of it. It returns nil
// if the client goes away in between.
func (s *Server) answer(q *query, o Outcome) *answer {
	received, err := s.receive(q)
	if errors.Is(err, errGone) || !s.wait(q, o) {
		return nil
	}
	var a *answer
	if err == nil && o.works() {
		a, err = s.perform(q, received)
	}
	if !s.hold(q, o.Hold) {
		return nil
	}
	switch {
	case o.Status != 0:
		return failureAnswer(q, &failure{Status: o.Status, Code: o.Code, Message: "as the test wants"})
	case err != nil:
		return failureAnswer(q, err)
	}
	return a
}

// perform does what is asked.
func (s *Server) perform(q *query, received content) (*answer, error) {
	if err := s.authorize(q); err != nil {
		return nil, err
	}
	if q.bucket != s.options.Bucket {
		return nil, fail(http.StatusNotFound, "NoSuchBucket", "the bucket does not exist")
	}
	return q.serve(s, q, received)
}

// wait lasts as long as the outcome says, at most until the client or the
// Server ends. Then it returns false.
func (s *Server) wait(q *query, o Outcome) bool {
	if o.Delay > 0 {
		timer := time.NewTimer(o.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-q.ctx.Done():
			return false
		case <-s.closed:
			return false
		}
	}
	return s.hold(q, o.Until)
}

// hold waits until release is closed, if there is one. It returns false if the
// client or the Server ends before.
func (s *Server) hold(q *query, release <-chan struct{}) bool {
	if release == nil {
		return true
	}
	select {
	case <-release:
		return true
	case <-q.ctx.Done():
		return false
	case <-s.closed:
		return false
	}
}
