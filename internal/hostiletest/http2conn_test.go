//go:build linux

package hostiletest

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// http2Conn is an HTTP/2 connection without TLS that may violate the protocol.
type http2Conn struct {
	conn net.Conn
	host string

	mu  sync.Mutex // guards writing
	out *bufio.Writer
	*http2.Framer
	block bytes.Buffer
	hpack *hpack.Encoder
	next  uint32

	answers atomic.Int64 // HEADERS frames from the server

	windowChanged *sync.Cond // of mu: window has changed
	window        int64      // bytes that may be sent: the smaller one of both windows
	closed        bool       // the server sends nothing more
}

// http2Options are the options of a connection.
type http2Options struct {
	window        uint32 // initial window of streams; 0: the default
	zeroWindow    bool   // the initial window is 0
	noReads       bool   // nothing is read from the connection
	receiveBuffer int    // bytes of the socket's receive buffer; 0: the default
	updateWindows bool   // received content is acknowledged by WINDOW_UPDATE
}

// dialHTTP2 connects and sends the preface and the settings.
func (a *attacker) dialHTTP2(f http2Options) (*http2Conn, error) {
	conn, err := a.dialSmall(f.receiveBuffer)
	if err != nil {
		return nil, err
	}
	c := &http2Conn{conn: conn, host: a.Address, out: bufio.NewWriterSize(conn, 32<<10), next: 1, window: 65535}
	c.windowChanged = sync.NewCond(&c.mu)
	c.Framer = http2.NewFramer(c.out, bufio.NewReader(conn))
	c.hpack = hpack.NewEncoder(&c.block)
	c.out.WriteString(http2.ClientPreface)
	var settings []http2.Setting
	if f.zeroWindow || f.window > 0 {
		settings = append(settings, http2.Setting{ID: http2.SettingInitialWindowSize, Val: f.window})
	}
	if err := c.WriteSettings(settings...); err != nil {
		return nil, err
	}
	if err := c.out.Flush(); err != nil {
		return nil, err
	}
	if !f.noReads {
		go c.read(f.updateWindows)
	}
	return c, nil
}

// read handles the server's frames until the connection ends.
func (c *http2Conn) read(refill bool) {
	for {
		frame, err := c.ReadFrame()
		if err != nil {
			c.conn.Close()
			c.mu.Lock()
			c.closed = true
			c.mu.Unlock()
			c.windowChanged.Broadcast()
			return
		}
		c.mu.Lock()
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				c.WriteSettingsAck()
				c.out.Flush()
			}
		case *http2.WindowUpdateFrame:
			if f.StreamID == 0 {
				c.window += int64(f.Increment)
				c.windowChanged.Broadcast()
			}
		case *http2.GoAwayFrame:
			c.closed = true
		case *http2.HeadersFrame:
			c.answers.Add(1)
		case *http2.DataFrame:
			if refill && f.Length > 0 {
				c.WriteWindowUpdate(0, f.Length)
				c.WriteWindowUpdate(f.StreamID, f.Length)
				c.out.Flush()
			}
		}
		c.mu.Unlock()
	}
}

// reserveWindow waits until the window of the connection has n bytes, and takes them.
// It reports false if the connection has ended. The window of the only stream is as
// large.
func (c *http2Conn) reserveWindow(n int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.window < n && !c.closed {
		c.windowChanged.Wait()
	}
	c.window -= n
	return !c.closed
}

// ended reports whether the server sends nothing more.
func (c *http2Conn) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// openStream opens a stream. Its frames are sent with the next flush.
func (c *http2Conn) openStream(method, path string, end bool, lines ...string) (uint32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	block := c.encodeHead(method, path, lines)
	id := c.next
	c.next += 2
	return id, c.writeHeaderBlock(id, block, end)
}

// writeHeaderBlock writes a header block in frames. The caller holds mu.
func (c *http2Conn) writeHeaderBlock(id uint32, block []byte, end bool) error {
	const most = 16384
	piece := block[:min(len(block), most)]
	block = block[len(piece):]
	err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: piece, EndStream: end, EndHeaders: len(block) == 0})
	for err == nil && len(block) > 0 {
		piece = block[:min(len(block), most)]
		block = block[len(piece):]
		err = c.WriteContinuation(id, len(block) == 0, piece)
	}
	return err
}

// encodeHead encodes a header block. The caller holds mu.
func (c *http2Conn) encodeHead(method, path string, lines []string) []byte {
	c.block.Reset()
	field := c.encodeField
	field(":method", method)
	field(":scheme", "http")
	field(":authority", c.host)
	if path != "" {
		field(":path", path)
	}
	field("tus-resumable", "1.0.0")
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		field(strings.ToLower(name), value)
	}
	return c.block.Bytes()
}

// encodeField adds a field to the block. A bytes.Buffer returns no error.
func (c *http2Conn) encodeField(name, value string) {
	c.hpack.WriteField(hpack.HeaderField{Name: name, Value: value})
}

// writeAndFlush calls do, which writes frames, and flushes.
func (c *http2Conn) writeAndFlush(do func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := do(); err != nil {
		return err
	}
	return c.out.Flush()
}

func (c *http2Conn) flush() error { return c.writeAndFlush(func() error { return nil }) }

// openStreamAndFlush is openStream with a flush.
func (c *http2Conn) openStreamAndFlush(method, path string, end bool, lines ...string) (uint32, error) {
	id, err := c.openStream(method, path, end, lines...)
	if err != nil {
		return 0, fmt.Errorf("open a stream: %w", err)
	}
	return id, c.flush()
}
