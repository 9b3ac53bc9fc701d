package cli

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd/internal/wire"
)

// overHTTP2 runs a test over HTTP/2 with TLS and without. args are flags for the
// daemon, and client can connect to it.
func overHTTP2(t *testing.T, test func(t *testing.T, client *http.Client, args []string)) {
	t.Run("TLS", func(t *testing.T) {
		p := newPair(t, t.TempDir(), "a")
		test(t, overTLS(), []string{"-tls-certificate", p.cert, "-tls-key", p.key})
	})
	t.Run("h2c", func(t *testing.T) {
		test(t, h2c(), []string{"-enable-h2c"})
	})
}

// patch sends a body of n bytes to an upload and returns the status of the
// answer; 0: no answer.
func patch(client *http.Client, location string, n int64, body io.Reader) int {
	req, err := http.NewRequest(http.MethodPatch, location, body)
	if err != nil {
		return 0
	}
	req.ContentLength = n
	req.Header.Set("Tus-Resumable", "1.0.0")
	req.Header.Set("Upload-Offset", "0")
	req.Header.Set("Content-Type", "application/offset+octet-stream")
	resp, err := client.Do(req)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// The bytes that a client may send without an answer of the server are the
// throughput per round trip. The test measures them by blocking the answers.
func TestHTTP2WindowOfOneUpload(t *testing.T) {
	t.Parallel()
	const size, perRoundTrip = 24 << 20, 8 << 20
	overHTTP2(t, func(t *testing.T, client *http.Client, args []string) {
		d := start(t, append(args, "-durability", "none")...)
		r := newRelay(t, d.address(t), 0)
		location := create(t, client, strings.Replace(d.url, d.address(t), r.listener.Addr().String(), 1), strconv.Itoa(size))
		before := r.sent.Load()
		answered := make(chan int, 1)
		r.back.Lock()
		go func() { answered <- patch(client, location, size, zeros(size)) }()
		await(t, "8 MiB that are not acknowledged", func() bool { return r.sent.Load()-before >= perRoundTrip })
		r.back.Unlock()
		if status := <-answered; status != http.StatusNoContent {
			t.Errorf("PATCH: %d", status)
		}
	})
}

// The memory for uploads that are not read is bounded by the window of their
// connection.
func TestStalledStreamsShareOneWindow(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	conn := stallingServer(t, release)
	before := heapInUse()
	var accepted atomic.Int64
	for range 100 {
		s, err := conn.Open(wire.Request{Method: http.MethodPost, Target: "/", Length: wire.Unknown})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for content := make([]byte, 16<<10); ; {
				n, err := s.Write(content)
				accepted.Add(int64(n))
				if err != nil {
					return
				}
			}
		}()
	}
	// A frame that is cut by the window is not counted before its rest is sent.
	const nearlyAll = connectionWindow - 100*16<<10
	await(t, "the window to be used up", func() bool { return accepted.Load() >= nearlyAll })
	const overhead = 8 << 20 // of 100 streams, and of the measurement
	if used := heapInUse() - before; used > connectionWindow+overhead {
		t.Errorf("%d MiB are in use for 100 stalled streams", used>>20)
	}
	if n := accepted.Load(); n > connectionWindow {
		t.Errorf("%d bytes were accepted, more than the window of %d", n, connectionWindow)
	}
}

// stallingServer starts a server like that of the daemon, whose handler reads
// nothing, and returns a connection to it.
func stallingServer(t *testing.T, release <-chan struct{}) wire.Conn {
	t.Helper()
	return connectedTo(t, func(http.ResponseWriter, *http.Request) { <-release })
}

// A deadline that is set after the client has reset its stream does not keep the
// stream in memory.
func TestResetStreamsAreNotKept(t *testing.T) {
	const streams, each = 2000, 400
	var served sync.WaitGroup
	conn := connectedTo(t, func(w http.ResponseWriter, r *http.Request) {
		defer served.Done()
		<-r.Context().Done()
		control := http.NewResponseController(w)
		control.SetReadDeadline(time.Now().Add(time.Hour))
		control.SetWriteDeadline(time.Now().Add(time.Hour))
	})
	reset := func(n int) {
		for range n {
			served.Add(1)
			s, err := conn.Open(wire.Request{Method: http.MethodPost, Target: "/", Length: wire.Unknown})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Abort(); err != nil {
				t.Fatal(err)
			}
			served.Wait()
		}
	}
	reset(100) // allocates what is allocated once
	before := heapInUse()
	reset(streams)
	if left := heapInUse() - before; left > streams*each {
		t.Errorf("%d bytes are left for each of %d streams that were reset, want at most %d", left/streams, streams, each)
	}
}

// connectedTo starts a server like that of the daemon with another handler, and
// returns a connection to it.
func connectedTo(t *testing.T, handler http.HandlerFunc) wire.Conn {
	t.Helper()
	cfg, err := parse()
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
	go server.Serve(tls.NewListener(listener, newTLSConfig("tls12", certificates)))
	t.Cleanup(func() { server.Close() })
	conn, err := wire.DialHTTP2(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func heapInUse() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// BenchmarkLongPath uploads over a network with a round-trip time of 100 ms.
func BenchmarkLongPath(b *testing.B) {
	const size, oneWay = 128 << 20, 50 * time.Millisecond
	p := newPair(b, b.TempDir(), "a")
	for name, c := range map[string]struct {
		client *http.Client
		args   []string
	}{
		"HTTP1": {&http.Client{Transport: &http.Transport{}}, nil},
		"h2c":   {h2c(), []string{"-enable-h2c"}},
		"TLS":   {overTLS(), []string{"-tls-certificate", p.cert, "-tls-key", p.key}},
	} {
		b.Run(name, func(b *testing.B) {
			d := start(b, append(c.args, "-durability", "none")...)
			r := newRelay(b, d.address(b), oneWay)
			url := strings.Replace(d.url, d.address(b), r.listener.Addr().String(), 1)
			b.SetBytes(size)
			for b.Loop() {
				if status := patch(c.client, create(b, c.client, url, strconv.Itoa(size)), size, zeros(size)); status != http.StatusNoContent {
					b.Fatalf("PATCH: %d", status)
				}
			}
			roundTrips := float64(b.Elapsed()) / float64(2*oneWay)
			b.ReportMetric(float64(b.N)*size/(1<<20)/roundTrips, "MiB/roundtrip")
		})
	}
}
