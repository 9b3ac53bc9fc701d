package cli

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/tus/tusd/internal/wire"
)

// idleServer starts a server like that of the daemon, over TLS, with the idle timeout
// of args, and counts its connections.
func idleServer(t *testing.T, connections *openConnections, handler http.HandlerFunc, args ...string) (address string) {
	t.Helper()
	cfg, err := parse(args...)
	if err != nil {
		t.Fatal(err)
	}
	p := newPair(t, t.TempDir(), "a")
	certificates, err := newCertificates(p.cert, p.key, quiet)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := newServer(cfg, handler, quiet)
	server.ConnState = connections.follow
	limitHTTP2Idle(server)
	go server.Serve(tls.NewListener(listener, newTLSConfig("tls12", certificates)))
	t.Cleanup(func() { server.Close() })
	return listener.Addr().String()
}

// dialed returns an HTTP/2 connection with a stream whose content is incomplete.
func dialed(t *testing.T, address string) (wire.Conn, wire.Stream) {
	t.Helper()
	conn, err := wire.DialHTTP2(address)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := conn.Open(wire.Request{Method: http.MethodPost, Target: "/", Length: wire.Unknown})
	if err != nil {
		t.Fatal(err)
	}
	return conn, stream
}

// A connection that ends while a stream is open is not kept in memory until the idle
// timeout.
func TestEndedConnectionsAreNotKept(t *testing.T) {
	const n, each = 200, 4 << 10
	var connections openConnections
	var served sync.WaitGroup
	arrived := make(chan bool)
	address := idleServer(t, &connections, func(_ http.ResponseWriter, r *http.Request) {
		defer served.Done()
		arrived <- true
		<-r.Context().Done()
	})
	visit := func(n int) {
		for range n {
			served.Add(1)
			conn, _ := dialed(t, address)
			<-arrived
			conn.Close()
			served.Wait()
		}
		await(t, "the connections to end", func() bool { return connections.count() == 0 })
	}
	visit(20) // allocates what is allocated once
	before := heapInUse()
	visit(n)
	if left := (heapInUse() - before) / n; left > each {
		t.Errorf("%d bytes are left for each connection, want at most %d", left, each)
	}
}

// An idle HTTP/2 connection is closed, even if it never had a request. A connection
// with a running request is not.
func TestIdleConnectionsOfHTTP2(t *testing.T) {
	var connections openConnections
	release := make(chan struct{})
	address := idleServer(t, &connections, func(_ http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			<-release
		}
	}, "-idle-timeout", "100ms")
	conn, busy := dialed(t, address)
	defer conn.Close()
	for name, first := range map[string]func(wire.Conn){
		"no request": func(wire.Conn) {},
		"a request": func(conn wire.Conn) {
			if answer, err := wire.Do(conn, wire.Request{Method: http.MethodHead, Target: "/"}, nil); err != nil || answer.Status != http.StatusOK {
				t.Errorf("HEAD: %v, %v", answer, err)
			}
		},
	} {
		conn, err := wire.DialHTTP2(address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		first(conn)
		await(t, "the idle connection to be closed: "+name, func() bool { return connections.count() == 1 })
	}
	close(release)
	if answer, err := busy.Response(); err != nil || answer.Status != http.StatusOK {
		t.Errorf("the running request: %v, %v", answer, err)
	}
	await(t, "the last connection to be closed", func() bool { return connections.count() == 0 })
}

// net/http closes idle connections of HTTP/1.
func TestIdleConnectionsOfHTTP1(t *testing.T) {
	d := start(t, "-idle-timeout", "100ms")
	conn, err := net.Dial("tcp", d.address(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(testTimeout))
	io.WriteString(conn, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
	if answer, err := io.ReadAll(conn); err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 200 ")) {
		t.Errorf("an answer and the end of the connection are %q, %v", answer, err)
	}
}
