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

// Options configure a Server. The zero value is ready to use.
type Options struct {
	Bucket    string // "": "bucket"
	AccessKey string // "": one of its own; the secret may be anything
	Quirks    Quirks

	// Discard is the size above which contents are not kept, so that huge parts
	// cost no memory and little time: only their length and an ETag that depends
	// on their bytes are kept, and they read as zeros. 0: all contents are kept.
	Discard int64

	// Now returns the time, also for the Date of answers; nil: time.Now.
	Now func() time.Time
}

// Server is an S3 service with one bucket. Its methods may be called
// concurrently, also while calls are being served.
type Server struct {
	URL string // where it listens; "" if it was not started

	options Options
	fault   atomic.Pointer[func(Call) Outcome]
	closed  chan struct{} // ends calls that are delayed or held
	counts  callCounts

	mu    sync.Mutex
	state bucketState
}

// New returns a Server with an empty bucket, for use as http.Handler.
func New(options Options) *Server {
	if options.Bucket == "" {
		options.Bucket = "bucket"
	}
	if options.AccessKey == "" {
		options.AccessKey = "access" + rand.Text()
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	return &Server{options: options, closed: make(chan struct{}), state: newState()}
}

// Start returns a Server that listens on a free port until tb ends.
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

// Fault makes f decide the outcome of each call from now on; nil: all are
// served. It calls f concurrently.
func (s *Server) Fault(f func(Call) Outcome) {
	if f == nil {
		s.fault.Store(nil)
		return
	}
	s.fault.Store(&f)
}

// ServeHTTP serves one call of S3. A call with another access key is refused, is not counted
// and meets no fault: it may come from a client of an earlier server on this port.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := s.parse(r)
	if s.isForeign(q) {
		w.Header().Set("Connection", "close")
		Outcome{}.deliver(w, q, errorAnswer(q, errForeign))
		return
	}
	outcome := s.decide(q.Call).within(q)
	q.body, w = s.counts.meter(q.Operation, r, w)
	w.Header().Set("Date", s.options.Now().UTC().Format(http.TimeFormat))
	w.Header().Set("X-Amz-Request-Id", rand.Text())
	if outcome.cutsRequest(q) {
		q.cut(w, outcome.After)
		return
	}
	answer := s.answer(q, outcome)
	if answer == nil { // the client has disconnected
		panic(http.ErrAbortHandler)
	}
	outcome.deliver(w, q, answer)
}

// decide counts a call, and returns its outcome.
func (s *Server) decide(call Call) Outcome {
	call = s.counts.enter(call)
	if f := s.fault.Load(); f != nil {
		return (*f)(call)
	}
	return Outcome{}
}

// answer serves a call with an outcome. It returns nil if the client
// disconnects before the answer.
func (s *Server) answer(req *request, o Outcome) *answer {
	received, err := s.receive(req)
	if errors.Is(err, errClientGone) || !s.wait(req, o) {
		return nil
	}
	var a *answer
	if err == nil && o.doesWork() {
		a, err = s.perform(req, received)
	}
	if !s.waitFor(req, o.Hold) {
		return nil
	}
	switch {
	case o.Status != 0:
		return errorAnswer(req, &serviceError{Status: o.Status, Code: o.Code, Message: "as the test wants"})
	case err != nil:
		return errorAnswer(req, err)
	}
	return a
}

// perform does the work of a call.
func (s *Server) perform(req *request, received content) (*answer, error) {
	if err := s.authorize(req); err != nil {
		return nil, err
	}
	if req.bucket != s.options.Bucket {
		return nil, fail(http.StatusNotFound, "NoSuchBucket", "the bucket does not exist")
	}
	return req.serve(s, req, received)
}

// wait waits as the outcome says. It returns false if the client or the Server
// ends before.
func (s *Server) wait(req *request, o Outcome) bool {
	if o.Delay > 0 {
		timer := time.NewTimer(o.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-req.ctx.Done():
			return false
		case <-s.closed:
			return false
		}
	}
	return s.waitFor(req, o.Until)
}

// waitFor waits until release is closed, unless it is nil. It returns false if
// the client or the Server ends before.
func (s *Server) waitFor(req *request, release <-chan struct{}) bool {
	if release == nil {
		return true
	}
	select {
	case <-release:
		return true
	case <-req.ctx.Done():
		return false
	case <-s.closed:
		return false
	}
}
