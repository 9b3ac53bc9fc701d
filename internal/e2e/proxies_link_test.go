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

// TestProxiesSlowLink uploads over a link as phones have it. Nothing of it may
// take a client's patience, so that nothing is sent twice; and the proxy does
// not look like one that buffers.
func TestProxiesSlowLink(t *testing.T) {
	slow := link{rate: 2 * mib, delay: 25 * time.Millisecond}
	for _, kind := range allProxies {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			c := startChain(t, kind, "https")
			c.front.retarget(slow.to(t, c.proxy.secure))
			c.uploadWith(t, 4*mib, map[string]any{"chunkSize": mib})
			if heads := len(c.seen("HEAD")); heads != 0 {
				t.Errorf("the client had to ask %d times where to go on", heads)
			}
			if log := c.daemon.Output(); strings.Contains(log, bufferingWarning) {
				t.Errorf("a proxy that does not buffer is warned of:\n%s", log)
			}
		})
	}
}

// link is a way between two hosts that takes time.
type link struct {
	rate  int           // bytes per second, in each direction of each connection
	delay time.Duration // of every byte
}

// to listens, and passes everything to target (host:port) over such a link.
func (l link) to(t *testing.T, target string) (address string) {
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

// serve passes one connection until either side or ctx ends it.
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
		l.pass(client, server)
		client.Close()
	})
	l.pass(server, client)
	server.Close()
	back.Wait()
}

// flight is some bytes on their way.
type flight struct {
	content []byte
	lands   time.Time
}

// pass copies from src to dst as fast as the link is. What is on its way when
// src ends still arrives.
func (l link) pass(dst io.Writer, src io.Reader) {
	const piece = 8 << 10
	inFlight := make(chan flight, 1+int(l.delay.Seconds()*float64(l.rate))/piece)
	var landing sync.WaitGroup
	landing.Go(func() {
		for f := range inFlight {
			time.Sleep(time.Until(f.lands))
			dst.Write(f.content) // once it fails src is closed, too
		}
	})
	free := time.Now() // when the link takes the next piece
	for {
		content := make([]byte, piece)
		n, err := src.Read(content)
		if now := time.Now(); free.Before(now) {
			free = now
		}
		free = free.Add(time.Duration(n) * time.Second / time.Duration(l.rate))
		time.Sleep(time.Until(free))
		inFlight <- flight{content[:n], free.Add(l.delay)}
		if err != nil {
			break
		}
	}
	close(inFlight)
	landing.Wait()
}
