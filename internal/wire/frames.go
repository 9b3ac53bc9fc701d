package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Frames is an HTTP/2 connection without TLS. The test sends and reads its frames, and
// acknowledges settings and pings itself. It is for one goroutine.
type Frames struct {
	net.Conn
	*http2.Framer
	block   bytes.Buffer
	encoder *hpack.Encoder
	next    uint32
}

// DialFrames connects to a server that speaks HTTP/2 without TLS, and sends settings.
func DialFrames(address string, settings ...http2.Setting) (*Frames, error) {
	conn, err := net.DialTimeout("tcp", address, timeout)
	if err != nil {
		return nil, err
	}
	f := &Frames{Conn: conn, Framer: http2.NewFramer(conn, conn), next: 1}
	f.encoder = hpack.NewEncoder(&f.block)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_, err = io.WriteString(conn, http2.ClientPreface)
	err = errors.Join(err, conn.SetDeadline(time.Now().Add(lifetime)), f.WriteSettings(settings...))
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return f, nil
}

// Request sends the head of a request and returns the id of its stream. If end is true the
// request has no body.
func (f *Frames) Request(method, path string, end bool, header ...string) (id uint32, err error) {
	f.block.Reset()
	fields := []string{":method: " + method, ":scheme: http", ":authority: h", ":path: " + path}
	for _, line := range append(fields, header...) {
		colon := 1 + bytes.IndexByte([]byte(line[1:]), ':')
		f.encoder.WriteField(hpack.HeaderField{Name: line[:colon], Value: line[colon+2:]}) // cannot fail
	}
	id = f.next
	f.next += 2
	return id, f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: f.block.Bytes(), EndHeaders: true, EndStream: end})
}

// Statuses reads frames until it has the heads of n answers, and returns their statuses by
// stream.
func (f *Frames) Statuses(n int) (map[uint32]string, error) {
	statuses := make(map[uint32]string)
	for len(statuses) < n {
		frame, err := f.ReadFrame()
		if err != nil {
			return statuses, err
		}
		if head, ok := frame.(*http2.MetaHeadersFrame); ok {
			statuses[head.StreamID] = head.PseudoValue("status")
		}
	}
	return statuses, nil
}
