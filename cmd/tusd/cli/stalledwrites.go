package cli

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// stalledWrites are the connections of a server, with the progress of their
// writes. At a shutdown it closes those that stall. A deadline is enough for
// HTTP/1.1; in HTTP/2 it resets the stream, and the reset is a frame that a
// stalled connection does not take.
type stalledWrites struct {
	mu  sync.Mutex
	all map[*watchedConn]struct{}
}

// listener returns a listener whose connections are watched.
func (s *stalledWrites) listener(l net.Listener) net.Listener { return watchedListener{l, s} }

type watchedListener struct {
	net.Listener
	stalled *stalledWrites
}

func (l watchedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	w := &watchedConn{Conn: conn, stalled: l.stalled}
	l.stalled.add(w)
	if from, ok := conn.(io.ReaderFrom); ok {
		return &watchedFileConn{w, from}, nil
	}
	return w, nil
}

func (s *stalledWrites) add(c *watchedConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make(map[*watchedConn]struct{})
	}
	s.all[c] = struct{}{}
}

func (s *stalledWrites) remove(c *watchedConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, c)
}

// stallTimeout is longer than the deadlines that answers have at a shutdown.
const stallTimeout = 2500 * time.Millisecond

// closeStalled closes, until ctx ends, connections with a write that makes no
// progress for stallTimeout.
func (s *stalledWrites) closeStalled(ctx context.Context) {
	tick := time.NewTicker(stallTimeout / 10)
	defer tick.Stop()
	var after map[*watchedConn]writeProgress
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			after = s.progress(after, now)
			for conn, l := range after {
				if now.Sub(l.since) >= stallTimeout {
					conn.Close()
				}
			}
		}
	}
}

// writeProgress is how many bytes a connection has written, and since when.
type writeProgress struct {
	bytes int64
	since time.Time
}

// progress returns the progress of connections that are in a write. before is
// the previous result.
func (s *stalledWrites) progress(before map[*watchedConn]writeProgress, now time.Time) map[*watchedConn]writeProgress {
	s.mu.Lock()
	defer s.mu.Unlock()
	after := make(map[*watchedConn]writeProgress)
	for conn := range s.all {
		if conn.writing.Load() == 0 {
			continue
		}
		l := writeProgress{conn.written.Load(), now}
		if last, seen := before[conn]; seen && last.bytes == l.bytes {
			l.since = last.since
		}
		after[conn] = l
	}
	return after
}

// watchedConn is a connection that counts its writes.
type watchedConn struct {
	net.Conn
	stalled *stalledWrites
	writing atomic.Int32 // writes that are under way
	written atomic.Int64 // bytes
}

// NetConn is for connOf.
func (c *watchedConn) NetConn() net.Conn { return c.Conn }

func (c *watchedConn) Write(p []byte) (int, error) {
	c.writing.Add(1)
	n, err := c.Conn.Write(p)
	c.wrote(int64(n))
	return n, err
}

func (c *watchedConn) wrote(n int64) {
	c.written.Add(n)
	c.writing.Add(-1)
}

func (c *watchedConn) Close() error {
	c.stalled.remove(c)
	return c.Conn.Close()
}

// CloseWrite is for net/http, which ends connections with it.
func (c *watchedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// watchedFileConn is a watchedConn that sends files without copying them.
type watchedFileConn struct {
	*watchedConn
	from io.ReaderFrom
}

func (c *watchedFileConn) ReadFrom(src io.Reader) (int64, error) {
	c.writing.Add(1)
	n, err := c.from.ReadFrom(src)
	c.wrote(n)
	return n, err
}
