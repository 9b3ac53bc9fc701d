package wire

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// The initial values of settings (RFC 9113, 6.5.2).
const (
	initialWindow = 65535
	maxFrameSize  = 16384
)

// http2Conn speaks HTTP/2 over TLS.
type http2Conn struct {
	net    net.Conn
	framer *http2.Framer

	mu            sync.Mutex // guards all below, and writing frames
	changed       *sync.Cond // a window, a stream or err has changed
	block         bytes.Buffer
	encoder       *hpack.Encoder
	streams       map[uint32]*http2Stream
	next          uint32
	window        int64 // bytes that may be sent on the connection
	initialWindow int64 // bytes that may be sent on a new stream
	err           error // why the connection ended
}

// DialHTTP2 connects to a server that speaks HTTP/2 over TLS, with any certificate.
func DialHTTP2(address string) (Conn, error) {
	config := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}
	raw, err := tls.DialWithDialer(&net.Dialer{Timeout: timeout}, "tcp", address, config)
	if err != nil {
		return nil, err
	}
	c := &http2Conn{
		net: raw, framer: http2.NewFramer(raw, raw), streams: make(map[uint32]*http2Stream), next: 1,
		window: initialWindow, initialWindow: initialWindow,
	}
	c.changed = sync.NewCond(&c.mu)
	c.encoder = hpack.NewEncoder(&c.block)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := c.greet(); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	go c.read()
	return c, nil
}

func (c *http2Conn) greet() error {
	if err := c.net.SetDeadline(time.Now().Add(lifetime)); err != nil {
		return err
	}
	if _, err := c.net.Write([]byte(http2.ClientPreface)); err != nil {
		return err
	}
	return c.framer.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 0})
}

func (c *http2Conn) Close() error { return c.net.Close() }

// Open starts a stream. It sends names in lower case, as HTTP/2 requires. The caller leaves
// out Connection and Transfer-Encoding.
func (c *http2Conn) Open(r Request) (Stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	s := &http2Stream{exchange: newExchange(), conn: c, id: c.next, window: c.initialWindow}
	c.next += 2
	c.streams[s.id] = s
	if err := c.writeHead(s.id, c.headerBlock(r), r.Length == 0); err != nil {
		delete(c.streams, s.id)
		return nil, err
	}
	return s, nil
}

// writeHead sends a header block in one or more frames. The caller has locked c.mu.
func (c *http2Conn) writeHead(id uint32, block []byte, end bool) error {
	fragment := block[:min(len(block), maxFrameSize)]
	block = block[len(fragment):]
	err := c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: fragment, EndStream: end, EndHeaders: len(block) == 0,
	})
	for err == nil && len(block) > 0 {
		fragment = block[:min(len(block), maxFrameSize)]
		block = block[len(fragment):]
		err = c.framer.WriteContinuation(id, len(block) == 0, fragment)
	}
	return err
}

// headerBlock encodes the head of r. The caller has locked c.mu, and uses the result before
// it unlocks it.
func (c *http2Conn) headerBlock(r Request) []byte {
	c.block.Reset()
	c.encode(":method", r.Method)
	c.encode(":scheme", "https")
	c.encode(":authority", c.authority(r.Header))
	c.encode(":path", r.Target)
	c.encodeLines(r.Header)
	if r.Length > 0 || r.Length == 0 && wantsLength(r.Method) {
		c.encode("content-length", strconv.FormatInt(r.Length, 10))
	}
	return c.block.Bytes()
}

// authority returns the value of a Host line, or the address of the server.
func (c *http2Conn) authority(lines []string) string {
	for _, line := range lines {
		if name, value := field(line); strings.EqualFold(name, "Host") {
			return value
		}
	}
	return c.net.RemoteAddr().String()
}

func (c *http2Conn) encodeLines(lines []string) {
	for _, line := range lines {
		name, value := field(line)
		if strings.EqualFold(name, "Host") {
			continue // :authority has it
		}
		c.encode(strings.ToLower(name), value)
	}
}

func (c *http2Conn) encode(name, value string) {
	// Writing to a bytes.Buffer cannot fail.
	_ = c.encoder.WriteField(hpack.HeaderField{Name: name, Value: value})
}

// read reads frames until the connection ends.
func (c *http2Conn) read() {
	for {
		frame, err := c.framer.ReadFrame()
		c.mu.Lock()
		if err == nil {
			err = c.handle(frame)
		}
		if err != nil {
			c.fail(err)
			c.mu.Unlock()
			return
		}
		c.changed.Broadcast()
		c.mu.Unlock()
	}
}

// fail ends all streams. The caller has locked c.mu.
func (c *http2Conn) fail(err error) {
	c.err = fmt.Errorf("wire: connection ended: %w", err)
	for _, s := range c.streams {
		s.finish(c.err)
	}
	c.changed.Broadcast()
}

// handle handles one frame. The caller has locked c.mu.
func (c *http2Conn) handle(frame http2.Frame) error {
	s := c.streams[frame.Header().StreamID] // nil: a frame of the connection, or of a stream that has ended
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		return c.applySettings(f)
	case *http2.PingFrame:
		if !f.IsAck() {
			return c.framer.WritePing(true, f.Data)
		}
	case *http2.WindowUpdateFrame:
		if f.StreamID == 0 {
			c.window += int64(f.Increment)
		} else if s != nil {
			s.window += int64(f.Increment)
		}
	case *http2.MetaHeadersFrame:
		if s != nil {
			s.headers(f)
		}
	case *http2.DataFrame:
		return c.data(s, f)
	case *http2.RSTStreamFrame:
		if s != nil {
			s.finish(fmt.Errorf("wire: stream reset by the server: %v", f.ErrCode))
		}
	}
	return nil
}

func (c *http2Conn) applySettings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	if v, ok := f.Value(http2.SettingInitialWindowSize); ok {
		for _, s := range c.streams {
			s.window += int64(v) - c.initialWindow
		}
		c.initialWindow = int64(v)
	}
	return c.framer.WriteSettingsAck()
}

// data appends to the body of an answer, and enlarges both windows by its length.
func (c *http2Conn) data(s *http2Stream, f *http2.DataFrame) error {
	if n := f.Length; n > 0 {
		if err := c.framer.WriteWindowUpdate(0, n); err != nil {
			return err
		}
		if s != nil && !f.StreamEnded() {
			if err := c.framer.WriteWindowUpdate(f.StreamID, n); err != nil {
				return err
			}
		}
	}
	if s == nil || s.response == nil {
		return nil
	}
	s.response.Body = append(s.response.Body, f.Data()...)
	if f.StreamEnded() {
		s.finish(nil)
	}
	return nil
}

// http2Stream is guarded by its connection's mutex.
type http2Stream struct {
	exchange
	conn     *http2Conn
	id       uint32
	window   int64 // bytes that may be sent on this stream
	finished bool
}

func (s *http2Stream) headers(f *http2.MetaHeadersFrame) {
	status, err := strconv.Atoi(f.PseudoValue("status"))
	if err != nil {
		return // trailers
	}
	header := make(http.Header)
	for _, field := range f.RegularFields() {
		header.Add(field.Name, field.Value)
	}
	if status < 200 {
		s.addInterim(Interim{status, header})
		return
	}
	s.response = &Response{Status: status, Header: header}
	if f.StreamEnded() {
		s.finish(nil)
	}
}

// finish ends the exchange. The caller has locked the connection's mutex.
func (s *http2Stream) finish(err error) {
	if s.finished {
		return
	}
	s.finished = true
	s.err = err
	close(s.done)
	delete(s.conn.streams, s.id)
}

func (s *http2Stream) Write(p []byte) (n int, err error) {
	for n < len(p) {
		sent, err := s.writeSome(p[n:])
		n += sent
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// writeSome sends one frame, as large as the windows allow.
func (s *http2Stream) writeSome(p []byte) (int, error) {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	for !s.finished && min(c.window, s.window) <= 0 {
		c.changed.Wait()
	}
	if s.finished {
		return 0, ErrEnded
	}
	n := min(int64(len(p)), c.window, s.window, maxFrameSize)
	c.window -= n
	s.window -= n
	return int(n), c.framer.WriteData(s.id, false, p[:n])
}

func (s *http2Stream) CloseWrite(trailer ...string) error {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if s.finished {
		return nil // the answer is complete
	}
	if len(trailer) > 0 {
		s.conn.block.Reset()
		s.conn.encodeLines(trailer)
		return s.conn.writeHead(s.id, s.conn.block.Bytes(), true)
	}
	return s.conn.framer.WriteData(s.id, true, nil)
}

func (s *http2Stream) Abort() error {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if s.finished {
		return nil
	}
	s.finish(errors.New("wire: aborted by the client"))
	return s.conn.framer.WriteRSTStream(s.id, http2.ErrCodeCancel)
}
