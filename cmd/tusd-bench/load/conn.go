package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// ioTimeout bounds the time without progress of a request.
const ioTimeout = 60 * time.Second

// sendSize is the size of a write of content, in bytes. Smaller content is sent together
// with the header of its request.
const sendSize = 256 << 10

// unknown means that an answer does not have a number.
const unknown = -1

// Conn is a client's connection, which is reused for further requests. It implements only
// the HTTP/1.1 that answers to tus requests need, so that the client uses little of the
// machine that it shares with the server.
type Conn struct {
	address string // host:port
	net     net.Conn
	in      *bufio.Reader
	out     []byte // buffer of the next write
}

// dial connects. Content is sent in writes of at most the given size.
func dial(address string, size int) (*Conn, error) {
	c := &Conn{address: address, out: make([]byte, 0, size)}
	return c, c.connect()
}

func (c *Conn) connect() error {
	conn, err := net.DialTimeout("tcp", c.address, ioTimeout)
	if err != nil {
		return err
	}
	c.net, c.in = conn, bufio.NewReader(conn)
	return nil
}

// Close closes the connection. It can be called several times.
func (c *Conn) Close() {
	if c.net != nil {
		c.net.Close() // all requests have been answered
		c.net = nil
	}
}

// request is a request. If length is not unknown, it has length bytes of content from
// offset on.
type request struct {
	method, path string
	header       string // whole lines
	content      Content
	offset       int64
	length       int64
}

// Answer has the status and the header fields of an answer that tus clients use.
type Answer struct {
	Status   int
	Location string
	Offset   int64 // Upload-Offset; -1: none
	Length   int64 // Upload-Length; -1: none

	bodyLength int64 // -1: not said
	closes     bool  // the server closes the connection
}

// exchange sends a request and returns the answer. It drops the body.
func (c *Conn) exchange(r request) (Answer, error) {
	if c.net == nil {
		if err := c.connect(); err != nil {
			return Answer{}, err
		}
	}
	a, err := c.attempt(r)
	if err != nil || a.closes {
		c.Close()
	}
	if err != nil {
		return a, fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	return a, nil
}

func (c *Conn) attempt(r request) (Answer, error) {
	c.begin(r)
	if err := c.send(r.content, r.offset, r.length); err != nil {
		return Answer{}, err
	}
	return c.receive(r.method)
}

// begin puts the header of a request into the buffer. send sends it.
func (c *Conn) begin(r request) {
	b := append(c.out[:0], r.method...)
	b = append(b, ' ')
	b = append(b, r.path...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, c.address...)
	b = append(b, "\r\nTus-Resumable: 1.0.0\r\n"...)
	b = append(b, r.header...)
	if r.length != unknown {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, r.length, 10)
		b = append(b, "\r\n"...)
	}
	c.out = append(b, "\r\n"...)
}

// send sends the header that was begun, and length bytes of content.
func (c *Conn) send(content Content, offset, length int64) error {
	for {
		room := int64(cap(c.out) - len(c.out))
		n := max(min(room, length), 0)
		end := len(c.out) + int(n)
		content.Fill(c.out[len(c.out):end], offset)
		if err := c.write(c.out[:end]); err != nil {
			return err
		}
		c.out = c.out[:0]
		offset, length = offset+n, length-n
		if length <= 0 {
			return nil
		}
	}
}

func (c *Conn) write(p []byte) error {
	if err := c.net.SetDeadline(time.Now().Add(ioTimeout)); err != nil {
		return err
	}
	_, err := c.net.Write(p)
	return err
}

// receive reads the answer to a request. It skips interim answers.
func (c *Conn) receive(method string) (Answer, error) {
	for {
		a, err := c.readHead()
		if err != nil {
			return a, err
		}
		if a.Status >= 200 {
			return a, c.dropBody(method, &a)
		}
	}
}

// readHead reads an answer up to its body.
func (c *Conn) readHead() (Answer, error) {
	a := Answer{Offset: unknown, Length: unknown, bodyLength: unknown}
	line, err := c.line()
	if err != nil {
		return a, err
	}
	if len(line) < len("HTTP/1.1 200") || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
		return a, fmt.Errorf("this is no answer: %q", line)
	}
	if a.Status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return a, fmt.Errorf("this is no answer: %q", line)
	}
	for {
		line, err := c.line()
		if err != nil || len(line) == 0 {
			return a, err
		}
		if err := a.field(line); err != nil {
			return a, err
		}
	}
}

func (c *Conn) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return bytes.TrimRight(line, "\r\n"), err
}

// field parses a header line.
func (a *Answer) field(line []byte) (err error) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimSpace(value)
	switch {
	case is(name, "Location"):
		a.Location = string(value)
	case is(name, "Upload-Offset"):
		a.Offset, err = strconv.ParseInt(string(value), 10, 64)
	case is(name, "Upload-Length"):
		a.Length, err = strconv.ParseInt(string(value), 10, 64)
	case is(name, "Content-Length"):
		a.bodyLength, err = strconv.ParseInt(string(value), 10, 64)
	case is(name, "Connection"):
		a.closes = is(value, "close")
	}
	if err != nil {
		err = fmt.Errorf("header %q: %w", line, err)
	}
	return err
}

// is compares names without regard to case. Most differ in length.
func is(name []byte, want string) bool {
	return len(name) == len(want) && bytes.EqualFold(name, []byte(want))
}

// dropBody skips the body of an answer. If its length is unknown, it closes the connection.
func (c *Conn) dropBody(method string, a *Answer) error {
	switch {
	case method == "HEAD" || a.Status == 204 || a.bodyLength == 0:
		return nil
	case a.bodyLength == unknown:
		a.closes = true
		return nil
	}
	_, err := io.CopyN(io.Discard, c.in, a.bodyLength)
	return err
}
