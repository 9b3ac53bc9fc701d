//go:build linux

package e2e

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestProxiesSlowLink uploads over a link like that of a phone. No timeout interrupts
// the upload, and the daemon does not warn of a buffering proxy.
func TestProxiesSlowLink(t *testing.T) {
	slow := link{rate: 2 * mib, delay: 25 * time.Millisecond}
	for _, kind := range allProxies {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			c := startChain(t, kind, "https")
			c.front.retarget(slow.listen(t, c.proxy.secure))
			c.uploadWith(t, 4*mib, map[string]any{"chunkSize": mib})
			if heads := len(c.seen("HEAD")); heads != 0 {
				t.Errorf("the client resumed %d times", heads)
			}
			if log := c.daemon.Output(); strings.Contains(log, bufferingWarning) {
				t.Errorf("the log warns of a proxy that does not buffer:\n%s", log)
			}
		})
	}
}

// link is a network link with a rate and a delay.
type link struct {
	rate  int           // bytes per second, in each direction of each connection
	delay time.Duration // of every byte
}

// listen listens on a new address and connects it to target (host:port) over the link.
func (l link) listen(t *testing.T, target string) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			open.Go(func() { l.serve(t.Context(), client, target) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		open.Wait()
	})
	return listener.Addr().String()
}

// serve forwards one connection until a peer or ctx ends it.
func (l link) serve(ctx context.Context, client net.Conn, target string) {
	defer client.Close()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer context.AfterFunc(ctx, func() {
		client.Close()
		server.Close()
	})()
	var back sync.WaitGroup
	back.Go(func() {
		l.copy(client, server)
		client.Close()
	})
	l.copy(server, client)
	server.Close()
	back.Wait()
}

// segment has bytes that the link has not delivered yet.
type segment struct {
	content []byte
	arrival time.Time
}

// copy copies from src to dst with the rate and the delay of the link. Bytes that were
// read before src ends still arrive.
func (l link) copy(dst io.Writer, src io.Reader) {
	const size = 8 << 10
	inFlight := make(chan segment, 1+int(l.delay.Seconds()*float64(l.rate))/size)
	var landing sync.WaitGroup
	landing.Go(func() {
		for f := range inFlight {
			time.Sleep(time.Until(f.arrival))
			dst.Write(f.content) // if it fails, src is closed, too
		}
	})
	free := time.Now() // when the link accepts the next segment
	for {
		content := make([]byte, size)
		n, err := src.Read(content)
		if now := time.Now(); free.Before(now) {
			free = now
		}
		free = free.Add(time.Duration(n) * time.Second / time.Duration(l.rate))
		time.Sleep(time.Until(free))
		inFlight <- segment{content[:n], free.Add(l.delay)}
		if err != nil {
			break
		}
	}
	close(inFlight)
	landing.Wait()
}
