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

// takingConn takes bodies that can write themselves in the pieces that they
// write.
type takingConn struct {
	net.Conn
	largest *atomic.Int64
}

func (c takingConn) ReadFrom(r io.Reader) (int64, error) {
	limited, ok := r.(*io.LimitedReader)
	if !ok {
		return 0, errors.New("net/http bounds bodies in another way")
	}
	body, ok := limited.R.(io.WriterTo)
	if !ok {
		return 0, errors.New("the body can only be read")
	}
	n, err := body.WriteTo(c)
	limited.N -= n
	return n, err
}

func (c takingConn) Write(p []byte) (int, error) {
	c.largest.Store(max(c.largest.Load(), int64(len(p))))
	return c.Conn.Write(p)
}

// taking returns a client whose connections are of that kind, and the size of
// the largest piece that they were given.
func (a *answering) taking(options ...awsv1.Option) (*awsv1.Client, *atomic.Int64) {
	largest := new(atomic.Int64)
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return takingConn{conn, largest}, err
	}
	a.api.Config.HTTPClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}
	return a.client(options...), largest
}

func TestABodyIsHandedOverAsItIs(t *testing.T) {
	content := random(1 << 20)
	for _, options := range [][]awsv1.Option{nil, {awsv1.WithoutContentHashes()}} {
		var got []byte
		a := answer(t, func(w http.ResponseWriter, r *http.Request) {
			got, _ = io.ReadAll(r.Body)
			accept(w, r)
		})
		c, largest := a.taking(options...)
		uploadPart(t, c, "k", "m", 1, content)
		if !bytes.Equal(got, content) {
			t.Errorf("%d bytes have arrived, want %d, the same", len(got), len(content))
		}
		if n := largest.Load(); n < int64(len(content))-64<<10 {
			t.Errorf("the largest piece has %d bytes: the body was copied", n)
		}
	}
}

// endless is a body that writes until somebody stops it.
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

// TestABodyIsNotWrittenAfterItsCall is TestABodyIsNotReadAfterItsCall for a
// body that writes itself, to a service that takes nothing of it.
func TestABodyIsNotWrittenAfterItsCall(t *testing.T) {
	a := answer(t, refuse(http.StatusServiceUnavailable, "SlowDown"))
	for range 10 {
		body := &endless{Reader: bytes.NewReader(make([]byte, 64<<20))}
		c, _ := a.taking(awsv1.WithoutContentHashes())
		in := s3store.UploadPart{Key: "k", Multipart: "m", Number: 1, Body: body, Size: body.Size()}
		if _, err := c.UploadPart(limited(t), in); err == nil {
			t.Error("the refusal is no error")
		}
		if body.writing.Load() {
			t.Fatal("the body writes after its call")
		}
	}
}
