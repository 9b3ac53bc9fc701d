package awsv1_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/s3store/awsv1"
)

// writerToConn sends a body by its WriteTo, and records the largest Write.
type writerToConn struct {
	net.Conn
	largest *atomic.Int64
}

func (c writerToConn) ReadFrom(r io.Reader) (int64, error) {
	limited, ok := r.(*io.LimitedReader)
	if !ok {
		return 0, errors.New("net/http does not bound the body by an io.LimitedReader")
	}
	body, ok := limited.R.(io.WriterTo)
	if !ok {
		return 0, errors.New("the body is no io.WriterTo")
	}
	n, err := body.WriteTo(c)
	limited.N -= n
	return n, err
}

func (c writerToConn) Write(p []byte) (int, error) {
	c.largest.Store(max(c.largest.Load(), int64(len(p))))
	return c.Conn.Write(p)
}

// writerToClient returns a client whose connections are writerToConns, and the
// size of their largest Write.
func (a *scriptedService) writerToClient(options ...awsv1.Option) (*awsv1.Client, *atomic.Int64) {
	largest := new(atomic.Int64)
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return writerToConn{conn, largest}, err
	}
	a.api.Config.HTTPClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}
	return a.client(options...), largest
}

func TestBodyIsNotCopied(t *testing.T) {
	content := random(1 << 20)
	for _, options := range [][]awsv1.Option{nil, {awsv1.WithoutContentHashes()}} {
		var got []byte
		a := startService(t, func(w http.ResponseWriter, r *http.Request) {
			got, _ = io.ReadAll(r.Body)
			accept(w, r)
		})
		c, largest := a.writerToClient(options...)
		uploadPart(t, c, "k", "m", 1, content)
		if !bytes.Equal(got, content) {
			t.Errorf("%d bytes have arrived, want %d, the same", len(got), len(content))
		}
		if n := largest.Load(); n < int64(len(content))-64<<10 {
			t.Errorf("the largest Write has %d bytes: the body was copied", n)
		}
	}
}

// endless is a body whose WriteTo ends only when a Write fails.
type endless struct {
	*bytes.Reader
	writing atomic.Bool
}

func (e *endless) WriteTo(w io.Writer) (n int64, err error) {
	e.writing.Store(true)
	defer e.writing.Store(false)
	for block := make([]byte, 64<<10); ; {
		m, err := w.Write(block)
		if n += int64(m); err != nil {
			return n, err
		}
	}
}

// TestBodyIsNotWrittenAfterItsCall is TestBodyIsNotReadAfterItsCall for a body
// with WriteTo. The service reads none of it.
func TestBodyIsNotWrittenAfterItsCall(t *testing.T) {
	a := startService(t, refuse(http.StatusServiceUnavailable, "SlowDown"))
	for range 10 {
		body := &endless{Reader: bytes.NewReader(make([]byte, 64<<20))}
		c, _ := a.writerToClient(awsv1.WithoutContentHashes())
		in := s3store.UploadPart{Key: "k", Multipart: "m", Number: 1, Body: body, Size: body.Size()}
		if _, err := c.UploadPart(testContext(t), in); err == nil {
			t.Error("the refusal is no error")
		}
		if body.writing.Load() {
			t.Fatal("the body is still written after its call")
		}
	}
}
