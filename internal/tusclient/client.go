// Package tusclient is the client of the tests. It speaks tus 1.0 and the IETF draft over
// package wire. It sends exactly what it is told, also what no client should send. It
// repeats nothing, checks nothing, and returns answers and errors as values.
//
//	client.go  connections, and requests with any header
//	tus.go     requests of tus 1.0
//	draft.go   header lines of the IETF draft, in each interop version
//	answer.go  answers
//
// inprocess.go calls a handler without a connection, for tests that measure memory.
package tusclient

import (
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/tus/tusd/internal/wire"
)

// Client sends requests to one server.
type Client struct {
	Dial func() (wire.Conn, error) // opens a connection to it
	// Keep sends all requests over one connection, as long as the server keeps it.
	// Otherwise each request has its own, and goroutines may share the client.
	Keep bool

	conn wire.Conn // the connection that is kept, or nil
}

// New returns a client that speaks HTTP/1.1 to address, over a connection for each
// request.
func New(address string) *Client {
	return &Client{Dial: func() (wire.Conn, error) { return wire.DialHTTP1(address) }}
}

// Chunked stands in place of a header line and makes the length of a body unknown.
const Chunked = "(chunked)"

// Do sends a request with these header lines and its whole body, and waits for the
// answer. An error means that there was no complete answer.
func (c *Client) Do(method, target string, body []byte, header ...string) (Answer, error) {
	length := int64(len(body))
	if i := slices.Index(header, Chunked); i >= 0 {
		header, length = slices.Delete(slices.Clone(header), i, i+1), wire.Unknown
	}
	if c.Keep {
		return c.doKept(wire.Request{Method: method, Target: target, Header: header, Length: length}, body)
	}
	r, err := c.Open(method, target, length, header...)
	if err != nil {
		return Answer{}, err
	}
	if length != 0 {
		go r.Send(body) // the answer may come before it is sent; if it cannot be sent, Answer tells why
	}
	return r.Answer()
}

// doKept waits until the body is sent, too: another request may follow it.
func (c *Client) doKept(r wire.Request, body []byte) (Answer, error) {
	if err := c.Connect(); err != nil {
		return Answer{}, noAnswer(r.Method, r.Target, err)
	}
	response, err := wire.Do(c.conn, r, body)
	if err != nil {
		c.Close()
		return Answer{}, noAnswer(r.Method, r.Target, err)
	}
	if response.Close {
		c.Close()
	}
	return Answer{*response}, nil
}

// Do sends one request to a URL over HTTP/1.1. See [Client.Do].
func Do(method, address string, body []byte, header ...string) (Answer, error) {
	u, err := url.Parse(address)
	if err != nil {
		return Answer{}, err
	}
	return New(u.Host).Do(method, u.RequestURI(), body, header...)
}

// Connect opens the connection that is kept, if it is not open.
func (c *Client) Connect() (err error) {
	if c.conn == nil {
		c.conn, err = c.Dial()
	}
	return err
}

// Conn is the connection that is kept, nil if there is none.
func (c *Client) Conn() wire.Conn { return c.conn }

// Close drops the connection that is kept, with all that runs on it. The next request
// opens another one.
func (c *Client) Close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// OpenRequest is a request whose body is being sent.
type OpenRequest struct {
	wire.Stream
	client         *Client
	conn           wire.Conn
	method, target string
}

// Open sends the head of a request. Its body has length bytes, or as many as are sent
// if that is wire.Unknown.
func (c *Client) Open(method, target string, length int64, header ...string) (*OpenRequest, error) {
	conn, err := c.connection()
	if err != nil {
		return nil, noAnswer(method, target, err)
	}
	stream, err := conn.Open(wire.Request{Method: method, Target: target, Header: header, Length: length})
	if err != nil {
		if !c.Keep {
			err = errors.Join(err, conn.Close())
		}
		return nil, noAnswer(method, target, err)
	}
	return &OpenRequest{stream, c, conn, method, target}, nil
}

func (c *Client) connection() (wire.Conn, error) {
	if !c.Keep {
		return c.Dial()
	}
	err := c.Connect()
	return c.conn, err
}

func (r *OpenRequest) String() string { return r.method + " " + r.target }

// Send sends the rest of the body and ends it. A body of unknown length may have trailers.
func (r *OpenRequest) Send(body []byte, trailer ...string) error {
	if _, err := r.Write(body); err != nil {
		return err
	}
	return r.CloseWrite(trailer...)
}

// Answer waits for the answer. It closes the connection if it is not kept, or if the server
// announces that it closes it.
func (r *OpenRequest) Answer() (Answer, error) {
	response, err := r.Response()
	switch {
	case !r.client.Keep:
		r.conn.Close()
	case err == nil && response.Close && r.client.conn == r.conn:
		r.client.Close()
	}
	if err != nil {
		return Answer{}, noAnswer(r.method, r.target, err)
	}
	return Answer{*response}, nil
}

// ErrNoAnswer marks the error of a request that has no complete answer.
var ErrNoAnswer = errors.New("no answer")

func noAnswer(method, target string, err error) error {
	return fmt.Errorf("%s %s: %w: %w", method, target, ErrNoAnswer, err)
}
