package cli

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// relay forwards connections of clients to a server, like a network with a delay, or one
// that blocks the direction to the clients.
type relay struct {
	listener net.Listener
	target   string
	delay    time.Duration // in each direction
	sent     atomic.Int64  // bytes from clients that were written to the server
	back     sync.RWMutex  // locked for writing: nothing is sent to the clients
}

func newRelay(t testing.TB, target string, delay time.Duration) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: listener, target: target, delay: delay}
	go r.accept()
	t.Cleanup(func() { listener.Close() })
	return r
}

func (r *relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", r.target)
		if err != nil {
			client.Close()
			continue
		}
		go r.forward(server, client, func(p []byte) (int, error) {
			n, err := server.Write(p)
			r.sent.Add(int64(n))
			return n, err
		})
		go r.forward(client, server, func(p []byte) (int, error) {
			r.back.RLock()
			defer r.back.RUnlock()
			return client.Write(p)
		})
	}
}

// packet is the content of one Read, and the time at which it is due.
type packet struct {
	bytes []byte
	due   time.Time
}

// forward copies from one connection to the other by write, after the delay. Packets in
// flight do not block the sender.
func (r *relay) forward(to, from net.Conn, write func([]byte) (int, error)) {
	const inFlight = 1 << 12 // packets, of at most 64 KiB
	packets := make(chan packet, inFlight)
	go func() {
		defer to.Close()
		defer from.Close()
		for p := range packets {
			time.Sleep(time.Until(p.due))
			if _, err := write(p.bytes); err != nil {
				break
			}
		}
		for range packets { // does not block the reader
		}
	}()
	defer close(packets)
	for {
		bytes := make([]byte, 64<<10)
		n, err := from.Read(bytes)
		if n > 0 {
			packets <- packet{bytes[:n], time.Now().Add(r.delay)}
		}
		if err != nil {
			return
		}
	}
}

// zeros returns a body of n zero bytes.
func zeros(n int64) io.Reader { return io.LimitReader(zeroReader{}, n) }

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
