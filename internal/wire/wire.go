// Package wire is a small HTTP client for tests that decide what goes over the connection:
// header lines that are malformed or repeated, bodies that are sent in parts or never end.
// It speaks HTTP/1.1 over a plain socket, and HTTP/2 with the frames of
// golang.org/x/net/http2. It retries nothing and follows no redirect.
package wire

import (
	"errors"
	"net/http"
	"strings"
	"time"
)

// Unknown is the Length of a request whose body is chunked in HTTP/1.1, and has no
// Content-Length in HTTP/2.
const Unknown = -1

// timeout bounds every wait for an answer, lifetime a whole connection: a test of a server
// that hangs ends with an error.
const (
	timeout  = 20 * time.Second
	lifetime = 3 * time.Minute
)

// Errors that tests tell apart.
var (
	// ErrTimeout is the error if no answer comes in time.
	ErrTimeout = errors.New("wire: no answer in time")
	// ErrEnded is the error of a write to a stream whose answer is complete. The
	// connection can still be used.
	ErrEnded = errors.New("wire: the stream has ended")
)

// Request is the head of a request.
type Request struct {
	Method string
	Target string   // with its escapes, it is sent as it is
	Header []string // lines "Name: value", in this order; Host is added
	Length int64    // of the body; it is sent, but not enforced
}

// Response is a complete answer.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
	Close  bool // no other request can follow on the connection
}

// Interim is an interim answer (1xx) that is not 100.
type Interim struct {
	Status int
	Header http.Header
}

// maxInterim is how many interim answers of one stream wait to be received; more are
// dropped.
const maxInterim = 256

// Conn is one connection to a server. An HTTP/1.1 connection carries one
// stream at a time, an HTTP/2 connection any number.
type Conn interface {
	// Open sends the head of a request. If Length is 0 there is no body.
	Open(Request) (Stream, error)
	// Close closes the connection, whatever runs on it.
	Close() error
}

// Stream is one request and its answer. Goroutines may send and wait at the same time.
type Stream interface {
	// Write sends a part of the body: one chunk, or at least one DATA frame.
	Write(p []byte) (int, error)
	// CloseWrite ends the body. A body of unknown length may have trailers
	// "Name: value".
	CloseWrite(trailer ...string) error
	// Abort ends the request: HTTP/1.1 closes the connection, HTTP/2 resets the stream.
	Abort() error
	// Continued is closed when a 100 (Continue) has arrived.
	Continued() <-chan struct{}
	// Interim has the other interim answers.
	Interim() <-chan Interim
	// Done is closed when the answer is complete or has failed.
	Done() <-chan struct{}
	// Response waits for Done and returns the answer.
	Response() (*Response, error)
}

// Do sends a request with its body and waits for the answer. A server may answer without
// reading the body: then an error of sending is no error, but sets Close.
func Do(c Conn, r Request, body []byte) (*Response, error) {
	s, err := c.Open(r)
	if err != nil {
		return nil, err
	}
	sent := make(chan error, 1)
	go func() { sent <- send(s, r, body) }()
	response, err := s.Response()
	if err != nil {
		return nil, err
	}
	select {
	case err := <-sent:
		response.Close = response.Close || err != nil && !errors.Is(err, ErrEnded)
		return response, nil
	case <-time.After(timeout):
		return nil, errors.New("wire: the server answered, but neither reads the body nor closes the connection")
	}
}

func send(s Stream, r Request, body []byte) error {
	if r.Length == 0 {
		return nil
	}
	if len(body) > 0 {
		if _, err := s.Write(body); err != nil {
			return err
		}
	}
	return s.CloseWrite()
}

// exchange has what both kinds of streams need: the signals and the answer.
type exchange struct {
	continued chan struct{}
	interim   chan Interim
	done      chan struct{}
	response  *Response
	err       error
}

func newExchange() exchange {
	return exchange{continued: make(chan struct{}), interim: make(chan Interim, maxInterim), done: make(chan struct{})}
}

// addInterim notes an interim answer.
func (e *exchange) addInterim(i Interim) {
	if i.Status == http.StatusContinue {
		close(e.continued)
		return
	}
	select {
	case e.interim <- i:
	default:
	}
}

func (e *exchange) Continued() <-chan struct{} { return e.continued }
func (e *exchange) Interim() <-chan Interim    { return e.interim }
func (e *exchange) Done() <-chan struct{}      { return e.done }

func (e *exchange) Response() (*Response, error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-e.done:
		return e.response, e.err
	case <-timer.C:
		return nil, ErrTimeout
	}
}

// field splits a header line. A line without a colon is a name without value.
func field(line string) (name, value string) {
	name, value, _ = strings.Cut(line, ":")
	return name, strings.TrimPrefix(value, " ")
}

// wantsLength reports whether a request of this method has a Content-Length of 0.
func wantsLength(method string) bool {
	return method == http.MethodPost || method == http.MethodPatch || method == http.MethodPut
}
