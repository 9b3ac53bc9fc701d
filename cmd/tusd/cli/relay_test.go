package cli

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// relay stands between clients and a server, as a network that takes its time
// or loses one direction.
type relay struct {
	listener net.Listener
	target   string
	delay    time.Duration // each way
	sent     atomic.Int64  // bytes from clients that the server has got
	back     sync.RWMutex  // held for writing: nothing reaches the clients
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
		go r.carry(server, client, func(p []byte) (int, error) {
			n, err := server.Write(p)
			r.sent.Add(int64(n))
			return n, err
		})
		go r.carry(client, server, func(p []byte) (int, error) {
			r.back.RLock()
			defer r.back.RUnlock()
			return client.Write(p)
		})
	}
}

// piece is what one read has brought, and when it arrives.
type piece struct {
	bytes []byte
	due   time.Time
}

// carry takes what comes from one end to the other by way of write, delay
// later. However much is on its way, the sender is not held up.
func (r *relay) carry(to, from net.Conn, write func([]byte) (int, error)) {
	const onTheWay = 1 << 12 // pieces, of 64 KiB at the most
	pieces := make(chan piece, onTheWay)
	go func() {
		defer to.Close()
		defer from.Close()
		for p := range pieces {
			time.Sleep(time.Until(p.due))
			if _, err := write(p.bytes); err != nil {
				break
			}
		}
		for range pieces { // the reader is not to wait
		}
	}()
	defer close(pieces)
	for {
		bytes := make([]byte, 64<<10)
		n, err := from.Read(bytes)
		if n > 0 {
			pieces <- piece{bytes[:n], time.Now().Add(r.delay)}
		}
		if err != nil {
			return
		}
	}
}

// zeros is a body of n bytes.
func zeros(n int64) io.Reader { return io.LimitReader(zeroReader{}, n) }

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
