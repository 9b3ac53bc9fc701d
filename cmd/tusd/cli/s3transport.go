package cli

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"
)

// bodyConn sends a body that can write itself without copying it: net/http
// would move it through a buffer of 32 KiB. It has no effect below TLS.
type bodyConn struct{ net.Conn }

// ReadFrom implements io.ReaderFrom. net/http passes a body that is bounded by
// its Content-Length.
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

// dialBodyConn returns a dial function like that of d.
func dialBodyConn(d *net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return bodyConn{conn}, nil
	}
}

// s3HeaderTimeout limits the wait for an answer once a call is sent. A service
// may need minutes to complete a large object; calls have timeouts of their
// own.
const s3HeaderTimeout = 15 * time.Minute

// newS3Transport returns a transport that keeps as many idle connections. Parts
// are sent over connections of their own: with HTTP/2 all would share one
// window. It is no clone of the default transport, which offers HTTP/2 whatever
// protocols the clone has.
func newS3Transport(connections int) *http.Transport {
	if connections == 0 {
		connections = 64
	}
	var http1 http.Protocols
	http1.SetHTTP1(true)
	dialer := &net.Dialer{Timeout: 30 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		Protocols:             &http1,
		DialContext:           dialBodyConn(dialer),
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: s3HeaderTimeout,
		MaxIdleConns:          connections,
		MaxIdleConnsPerHost:   connections,
		IdleConnTimeout:       90 * time.Second,
		WriteBufferSize:       64 << 10, // bytes a write, of parts of many MiB
		DisableCompression:    true,
	}
}
