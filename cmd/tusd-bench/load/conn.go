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

// patience is how long a server may take nothing, or not answer.
const patience = 60 * time.Second

// pieceSize is how much content goes to the kernel at once, in bytes. Smaller
// content leaves together with the head of its request.
const pieceSize = 256 << 10

// unknown stands for a number that an answer does not have.
const unknown = -1

// Conn is a client's connection, kept between requests. It knows as much of
// HTTP/1.1 as answers to tus requests need, so that on a machine shared with
// the server the client takes as little of it as possible.
type Conn struct {
	address string // host:port
	net     net.Conn
	in      *bufio.Reader
	out     []byte // what is sent next; its capacity is the size of a piece
}

// dial connects. Content is sent in pieces of at most the given size.
func dial(address string, piece int) (*Conn, error) {
	c := &Conn{address: address, out: make([]byte, 0, piece)}
	return c, c.connect()
}

func (c *Conn) connect() error {
	conn, err := net.DialTimeout("tcp", c.address, patience)
	if err != nil {
		return err
	}
	c.net, c.in = conn, bufio.NewReader(conn)
	return nil
}

// Close closes the connection. It can be called again.
func (c *Conn) Close() {
	if c.net != nil {
		c.net.Close() // what counts has been answered
		c.net = nil
	}
}

// request is a request with its content, if length is not unknown: length
// bytes of content from offset on.
type request struct {
	method, path string
	header       string // whole lines
	content      Content
	offset       int64
	length       int64
}

// Answer is the part of an answer that clients of tus look at.
type Answer struct {
	Status   int
	Location string
	Offset   int64 // Upload-Offset; -1: none
	Length   int64 // Upload-Length; -1: none

	bodyLength int64 // -1: not said
	closes     bool  // the server closes the connection
}

// exchange sends a request and takes the answer, whose body is dropped.
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

// begin makes the head of a request. It leaves with what send sends.
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

// send sends what has been begun and length bytes of content.
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
	if err := c.net.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := c.net.Write(p)
	return err
}

// receive takes the answer to a request. Interim answers are passed over.
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

// field takes from a header line what is of use.
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

// is compares without regard to case; the lengths differ mostly.
func is(name []byte, want string) bool {
	return len(name) == len(want) && bytes.EqualFold(name, []byte(want))
}

// dropBody passes over the body of an answer. Where its length is not said the
// connection is given up.
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
