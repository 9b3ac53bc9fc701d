// Package wire is a small HTTP client for tests that need to say exactly what
// goes over the connection: header lines as they are written, also malformed
// or twice, bodies in pieces, bodies that never end. HTTP/1.1 goes over a plain
// socket, HTTP/2 over the frames of golang.org/x/net/http2. Nothing is retried
// and no redirect is followed.
package wire

import (
	"errors"
	"net/http"
	"strings"
	"time"
)

// Unknown is the Length of a request whose body ends where it ends: chunked in
// HTTP/1.1, without Content-Length in HTTP/2.
const Unknown = -1

// timeout bounds every wait for an answer, lifetime a whole connection, so
// that a test against a server that hangs ends with an error.
const (
	timeout  = 20 * time.Second
	lifetime = 3 * time.Minute
)

// Errors that tests tell apart.
var (
	// ErrTimeout tells that no answer came in time.
	ErrTimeout = errors.New("wire: no answer in time")
	// ErrEnded tells that a stream was written to after its answer was
	// complete. The connection is none the worse.
	ErrEnded = errors.New("wire: the stream has ended")
)

// Request is the head of a request.
type Request struct {
	Method string
	Target string   // as it goes over the wire, escapes and all
	Header []string // lines "Name: value", in this order; Host is added
	Length int64    // of the body; announced, not enforced
}

// Response is a complete answer.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
	Close  bool // no other request can follow on the connection
}

// Interim is an answer before the answer (1xx) that is not 100.
type Interim struct {
	Status int
	Header http.Header
}

// maxInterim is how many interim answers of one stream are kept until somebody
// takes them; those beyond it are lost.
const maxInterim = 256

// Conn is one connection to a server. An HTTP/1.1 connection carries one
// stream at a time, an HTTP/2 connection any number.
type Conn interface {
	// Open sends the head of a request. If Length is 0 that is all of it.
	Open(Request) (Stream, error)
	// Close drops the connection without a word.
	Close() error
}

// Stream is one request and its answer. The methods that send and the ones
// that wait may be used concurrently.
type Stream interface {
	// Write sends a piece of the body: a chunk, or at least one DATA frame.
	Write(p []byte) (int, error)
	// CloseWrite ends the body, with trailers "Name: value" if it is one of
	// unknown length.
	CloseWrite(trailer ...string) error
	// Abort gives the request up: HTTP/1.1 closes the connection, HTTP/2
	// resets the stream.
	Abort() error
	// Continued is closed when a 100 (Continue) has arrived.
	Continued() <-chan struct{}
	// Interim hands out the other interim answers.
	Interim() <-chan Interim
	// Done is closed when the answer is complete or has failed.
	Done() <-chan struct{}
	// Response waits for Done and returns the answer.
	Response() (*Response, error)
}

// Do sends a request with its body and waits for the answer. A server may
// answer without reading the body, so an error of sending counts only if there
// is no answer; with one it means that the connection is of no more use.
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

// exchange is what both kinds of streams share: the two signals and the answer.
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

// inform takes an interim answer.
func (e *exchange) inform(i Interim) {
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

// wantsLength reports whether a request announces the length of an empty body.
func wantsLength(method string) bool {
	return method == http.MethodPost || method == http.MethodPatch || method == http.MethodPut
}
