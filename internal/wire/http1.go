package wire

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// http1Conn speaks HTTP/1.1 over a socket.
type http1Conn struct {
	net    net.Conn
	reader *bufio.Reader
	busy   *http1Stream
}

// DialHTTP1 connects to a server that speaks plain HTTP/1.1.
func DialHTTP1(address string) (Conn, error) {
	c, err := net.DialTimeout("tcp", address, timeout)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(lifetime)); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &http1Conn{net: c, reader: bufio.NewReader(c)}, nil
}

func (c *http1Conn) Close() error { return c.net.Close() }

// Open waits for the answer to the request before: it does not pipeline.
func (c *http1Conn) Open(r Request) (Stream, error) {
	if c.busy != nil {
		if _, err := c.busy.Response(); err != nil {
			return nil, fmt.Errorf("wire: the request before this one failed: %w", err)
		}
	}
	if _, err := io.WriteString(c.net, http1Head(r, c.net.RemoteAddr().String())); err != nil {
		return nil, err
	}
	s := &http1Stream{exchange: newExchange(), conn: c, chunked: r.Length == Unknown}
	c.busy = s
	go s.read(r.Method)
	return s, nil
}

func http1Head(r Request, host string) string {
	var head strings.Builder
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\n", r.Method, r.Target)
	if !has(r.Header, "Host") {
		fmt.Fprintf(&head, "Host: %s\r\n", host)
	}
	for _, line := range r.Header {
		head.WriteString(line + "\r\n")
	}
	switch {
	case r.Length == Unknown:
		head.WriteString("Transfer-Encoding: chunked\r\n")
	case r.Length > 0 || wantsLength(r.Method):
		fmt.Fprintf(&head, "Content-Length: %d\r\n", r.Length)
	}
	return head.String() + "\r\n"
}

func has(lines []string, name string) bool {
	for _, line := range lines {
		if n, _ := field(line); strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

type http1Stream struct {
	exchange
	conn    *http1Conn
	chunked bool
	mu      sync.Mutex // of writing a chunk
}

func (s *http1Stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.chunked {
		return s.conn.net.Write(p)
	}
	if len(p) == 0 {
		return 0, nil // an empty chunk would end the body
	}
	_, err := fmt.Fprintf(s.conn.net, "%x\r\n%s\r\n", len(p), p)
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s *http1Stream) CloseWrite(trailer ...string) error {
	if !s.chunked {
		return nil
	}
	end := "0\r\n"
	for _, line := range trailer {
		end += line + "\r\n"
	}
	_, err := io.WriteString(s.conn.net, end+"\r\n")
	return err
}

func (s *http1Stream) Abort() error { return s.conn.Close() }

// read reads the interim answers and the answer.
func (s *http1Stream) read(method string) {
	defer close(s.done)
	s.response, s.err = ReadResponse(s.conn.reader, method, s.addInterim)
}

// ReadResponse reads one complete answer to a request of the given method.
// interim is called with each 1xx answer before it.
func ReadResponse(r *bufio.Reader, method string, interim func(Interim)) (*Response, error) {
	for {
		head, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return nil, err
		}
		if head.StatusCode < 200 {
			interim(Interim{head.StatusCode, head.Header})
			continue
		}
		body, err := io.ReadAll(head.Body)
		if err != nil {
			return nil, fmt.Errorf("wire: answer %d, in its body: %w", head.StatusCode, err)
		}
		return &Response{Status: head.StatusCode, Header: head.Header, Body: body, Close: head.Close}, nil
	}
}
