package cli

import (
	"context"
	"io"
	"net"
)

// bodyConn sends a body that can write itself without copying it: net/http
// would move it through a buffer, 32 KiB at a time. Below TLS it changes
// nothing.
type bodyConn struct{ net.Conn }

// ReadFrom implements io.ReaderFrom. What net/http passes is a body that is
// bounded by its Content-Length, and no longer than that here.
func (c bodyConn) ReadFrom(r io.Reader) (int64, error) {
	if limited, ok := r.(*io.LimitedReader); ok {
		if body, ok := limited.R.(io.WriterTo); ok {
			n, err := body.WriteTo(c.Conn)
			limited.N -= n
			return n, err
		}
	}
	return io.Copy(c.Conn, r)
}

// dialBodyConn dials as d does.
func dialBodyConn(d *net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return bodyConn{conn}, nil
	}
}
