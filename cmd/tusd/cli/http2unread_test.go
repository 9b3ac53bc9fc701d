package cli

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/wire"
)

// net/http needs these methods to send files without a copy, and to close its side
// first.
var _ tcpConn = (*unreadConn)(nil)

// unreadServer starts a server like that of the daemon with another handler, whose
// connections share a budget.
func unreadServer(t *testing.T, handler http.HandlerFunc) (*unreadBudget, string) {
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
	budget := &unreadBudget{headerTime: 300 * time.Millisecond}
	server := newServer(cfg, handler, quiet)
	budget.attach(server)
	go server.Serve(tls.NewListener(budget.listener(listener), newTLSConfig("tls12", certificates)))
	t.Cleanup(func() { server.Close() })
	return budget, listener.Addr().String()
}

// flood opens a connection with a stream whose content never ends.
func flood(t *testing.T, address, target string) (wire.Conn, wire.Stream) {
	t.Helper()
	conn, err := wire.DialHTTP2(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	stream, err := conn.Open(wire.Request{Method: http.MethodPost, Target: target, Length: wire.Unknown})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for content, err := make([]byte, 16<<10), error(nil); err == nil; {
			_, err = stream.Write(content)
		}
	}()
	return conn, stream
}

// sendContent sends content in one request and returns the status.
func sendContent(t *testing.T, address, target string, content []byte) int {
	t.Helper()
	conn, err := wire.DialHTTP2(address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answer, err := wire.Do(conn, wire.Request{Method: http.MethodPost, Target: target, Length: int64(len(content))}, content)
	if err != nil {
		t.Fatal(err)
	}
	return answer.Status
}

// The memory of stalled connections is bounded while their handlers run, also after
// their streams were reset or they were closed. Other uploads go on. The budget is
// released when the handlers have ended.
func TestUnreadContentHasABudget(t *testing.T) {
	require.Long(t)
	const conns = 12
	for name, after := range map[string]func(wire.Conn, wire.Stream){
		"stalled": func(wire.Conn, wire.Stream) {},
		"reset":   func(_ wire.Conn, s wire.Stream) { go s.Abort() }, // blocks until the frame is written
		"closed":  func(c wire.Conn, _ wire.Stream) { c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			end := sync.OnceFunc(func() { close(release) })
			defer end()
			var read atomic.Int64
			budget, address := unreadServer(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/stall" {
					<-release
					return
				}
				n, _ := io.Copy(io.Discard, r.Body)
				read.Store(n)
			})
			before := heapInUse()
			for i := range conns {
				conn, stream := flood(t, address, "/stall")
				enough := min(unreadTotal, int64(i+1)*unreadTotal/conns)
				await(t, "the connection to use its share", func() bool { return budget.used.Load() >= enough })
				after(conn, stream)
			}
			const overhead = 12 << 20 // of network buffers and of the measurement
			if used := heapInUse() - before; used > unreadTotal+conns*unreadShare+overhead {
				t.Errorf("%d MiB are in use", used>>20)
			}
			content := make([]byte, 8<<20)
			if status := sendContent(t, address, "/read", content); status != http.StatusOK || read.Load() != int64(len(content)) {
				t.Errorf("another upload: status %d, %d bytes, want 200 and %d", status, read.Load(), len(content))
			}
			end()
			await(t, "the budget to be released", func() bool { return budget.used.Load() == 0 })
		})
	}
}

// A connection whose reading was paused continues when its handler reads, and no byte
// is lost.
func TestPausedConnectionContinues(t *testing.T) {
	release := make(chan struct{})
	sums := make(chan []byte, 4)
	budget, address := unreadServer(t, func(w http.ResponseWriter, r *http.Request) {
		<-release
		content, _ := io.ReadAll(r.Body)
		sums <- content
	})
	budget.used.Store(unreadTotal) // by other connections
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	answered := make(chan int, 1)
	go func() { answered <- sendContent(t, address, "/", content) }()
	await(t, "the connection to be paused", func() bool { return budget.used.Load() > unreadTotal })
	close(release)
	if status := <-answered; status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	if got := <-sums; !bytes.Equal(got, content) {
		t.Errorf("%d bytes came, or others, want %d", len(got), len(content))
	}
	await(t, "its share of the budget to be released", func() bool { return budget.used.Load() == unreadTotal })
}

// A Read that returns after Close counts no bytes: they would never be released.
func TestClosedWhileReading(t *testing.T) {
	inner := &closedWhileReading{content: make([]byte, 2*unreadShare)}
	budget := new(unreadBudget)
	conn := newUnreadConn(inner, budget)
	inner.close = conn.Close
	if n, err := conn.Read(make([]byte, len(inner.content))); n != len(inner.content) || err != nil {
		t.Fatalf("Read: %d, %v", n, err)
	}
	if n := budget.used.Load(); n != 0 {
		t.Errorf("%d bytes are never released", n)
	}
}

// closedWhileReading is closed before its Read returns content.
type closedWhileReading struct {
	net.Conn
	content []byte
	close   func() error
}

func (c *closedWhileReading) Read(p []byte) (int, error) {
	c.close()
	return copy(p, c.content), nil
}

func (c *closedWhileReading) Close() error { return nil }

// Connections that negotiate HTTP/1.1 are not counted.
func TestUnreadOfHTTP1(t *testing.T) {
	release := make(chan struct{})
	budget, address := unreadServer(t, func(w http.ResponseWriter, r *http.Request) { <-release })
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go conn.Write(append([]byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n"), make([]byte, 1<<20)...))
	close(release)
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	if n := budget.used.Load(); n != 0 {
		t.Errorf("%d bytes are counted", n)
	}
}

// Content that the handler has read does not count: the uploads of a connection go on
// while other connections use the whole budget.
func TestUploadsContinueWithoutBudget(t *testing.T) {
	for name, size := range map[string]int{"large reads": 128 << 10, "frames": frameSize, "small reads": 1000} {
		t.Run(name, func(t *testing.T) {
			budget, address := unreadServer(t, func(w http.ResponseWriter, r *http.Request) {
				for buffer, err := make([]byte, size), error(nil); err == nil; {
					_, err = r.Body.Read(buffer)
				}
			})
			budget.used.Store(unreadTotal)
			conn, err := wire.DialHTTP2(address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			answers := make(chan error)
			const uploads = 4
			for range uploads {
				go func() {
					_, err := wire.Do(conn, wire.Request{Method: http.MethodPost, Target: "/", Length: 4 << 20}, make([]byte, 4<<20))
					answers <- err
				}()
			}
			for range uploads {
				if err := <-answers; err != nil {
					t.Error(err)
				}
			}
			await(t, "the budget of others alone to be used", func() bool { return budget.used.Load() == unreadTotal })
		})
	}
}

// The budget bounds the unread content of streams that are reset repeatedly, for which
// HTTP/2 gives the client a new window.
func TestRepeatedResets(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	entered := make(chan struct{}, maxStreams)
	budget, address := unreadServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/stall" {
			io.Copy(io.Discard, r.Body)
			return
		}
		entered <- struct{}{}
		<-release
	})
	conn, err := wire.DialHTTP2(address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	before := heapInUse()
	go func() {
		for content := make([]byte, 4<<20); ; <-entered {
			stream, err := conn.Open(wire.Request{Method: http.MethodPost, Target: "/stall", Length: wire.Unknown})
			if err != nil {
				return
			}
			if _, err := stream.Write(content); err != nil || stream.Abort() != nil {
				return
			}
		}
	}()
	await(t, "the budget to be used up", func() bool { return budget.used.Load() >= unreadTotal })
	for range 8 { // while the other client continues to send
		if status := sendContent(t, address, "/read", make([]byte, 8<<20)); status != http.StatusOK {
			t.Errorf("status %d", status)
		}
	}
	const overhead = 12 << 20
	if used := heapInUse() - before; used > unreadTotal+overhead {
		t.Errorf("%d MiB are in use for streams that were reset", used>>20)
	}
}

// The server announces the smallest maximum frame size, to limit memory.
func TestLargestFrame(t *testing.T) {
	_, address := unreadServer(t, func(http.ResponseWriter, *http.Request) {})
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	framer := http2.NewFramer(conn, conn)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	frame, err := framer.ReadFrame()
	if err != nil {
		t.Fatal(err)
	}
	if size, ok := frame.(*http2.SettingsFrame).Value(http2.SettingMaxFrameSize); !ok || size != frameSize {
		t.Errorf("the largest frame has %d bytes, want %d", size, frameSize)
	}
}

// silence is the idle time before unreadPlain sends a ping: longer than a busy machine
// needs for all headers of a test.
func silence() time.Duration {
	if raceEnabled {
		return 20 * time.Second
	}
	return 5 * time.Second
}

// unreadPlain is unreadServer without TLS.
func unreadPlain(t *testing.T, handler http.HandlerFunc) (*unreadBudget, string) {
	t.Helper()
	cfg, err := parse("-enable-h2c")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	budget := new(unreadBudget)
	server := newServer(cfg, handler, quiet)
	server.HTTP2.SendPingTimeout, server.HTTP2.PingTimeout = silence(), time.Second
	budget.attach(server)
	go server.Serve(budget.listener(listener))
	t.Cleanup(func() { server.Close() })
	return budget, listener.Addr().String()
}

// Unfinished headers share the budget, and are released with their connection.
func TestUnfinishedHeadersHaveABudget(t *testing.T) {
	require.Long(t)
	t.Parallel()
	for name, withUpload := range map[string]bool{"alone": false, "beside an upload": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var read atomic.Int64
			budget, address := unreadPlain(t, func(w http.ResponseWriter, r *http.Request) {
				n, _ := io.Copy(io.Discard, r.Body)
				read.Store(n)
			})
			const conns = 100
			head := unfinishedHeader(t, 240<<10)
			var over atomic.Int64
			for range conns {
				frames, err := wire.DialFrames(address)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { frames.Close() })
				if withUpload {
					if _, err := frames.Request(http.MethodPost, "/", false); err != nil {
						t.Fatal(err)
					}
				}
				go func() {
					frames.Conn.Write(head)
					io.Copy(io.Discard, frames.Conn)
					over.Add(1)
				}()
			}
			await(t, "the budget to be used up", func() bool { return budget.used.Load() > unreadTotal*9/10 })
			content := make([]byte, 2<<20)
			frames, err := wire.DialFrames(address)
			if err != nil {
				t.Fatal(err)
			}
			defer frames.Close()
			id, err := frames.Request(http.MethodPost, "/", false)
			for sent := 0; err == nil && sent < 3*frameSize; sent += frameSize { // as much as may be sent without a new window
				err = frames.WriteData(id, sent == 2*frameSize, content[:frameSize])
			}
			if statuses, statusErr := frames.Statuses(1); err != nil || statusErr != nil || statuses[id] != "200" || read.Load() != 3*frameSize {
				t.Errorf("another upload: %v, %v, %v, %d bytes", statuses, err, statusErr, read.Load())
			}
			await(t, "all connections to be closed", func() bool { return over.Load() == conns })
			await(t, "the budget to be released", func() bool { return budget.used.Load() == 0 })
		})
	}
}

// If a handler begins or reads late, bytes that came in the meantime stay counted as
// header.
func TestLateHandlersKeepHeader(t *testing.T) {
	t.Parallel()
	const size = 200 << 10
	for name, explain := range map[string]func(*unreadConn, *http.Request){
		"begins": func(c *unreadConn, r *http.Request) { c.begin(r) },
		"reads": func(c *unreadConn, r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader("content"))
			c.begin(r)
			io.ReadFull(r.Body, make([]byte, len("content")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, server := net.Pipe()
			t.Cleanup(func() { client.Close() })
			conn := newUnreadConn(server, new(unreadBudget))
			t.Cleanup(func() { conn.Close() })
			go client.Write(make([]byte, size))
			began := time.Now()
			if _, err := io.ReadFull(conn, make([]byte, size)); err != nil {
				t.Fatal(err)
			}
			explain(conn, httptest.NewRequest(http.MethodPost, "/", nil))
			head := func() int64 {
				conn.mu.Lock()
				defer conn.mu.Unlock()
				return conn.header
			}
			if left := head(); left < size-4<<10 && time.Since(began) < lateHandler {
				t.Errorf("%d bytes are left of a head of %d", left, size)
			}
			await(t, "old bytes not to be counted any more", func() bool {
				explain(conn, httptest.NewRequest(http.MethodPost, "/", nil))
				return head() == 0
			})
		})
	}
}

// unfinishedHeader returns the frames of a request header without its end.
func unfinishedHeader(t *testing.T, size int) []byte {
	t.Helper()
	head := []byte{0x82, 0x86, 0x84, 0x01, 0x01, 'h', 0x00, 0x01, 'x', 0x7f} // GET http / h, then x and a value
	for n := size - 127; ; n >>= 7 {                                         // whose length is encoded in groups of 7 bits
		if n < 128 {
			head = append(head, byte(n))
			break
		}
		head = append(head, byte(n)|128)
	}
	const id = 101
	var frames bytes.Buffer
	framer := http2.NewFramer(&frames, nil)
	err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head})
	for block := bytes.Repeat([]byte("x"), 8<<10); err == nil && size > len(block); size -= len(block) {
		err = framer.WriteContinuation(id, false, block)
	}
	if err != nil {
		t.Fatal(err)
	}
	return frames.Bytes()
}

// The overhead of frames does not add up in the budget, for any number of requests on
// a connection.
func TestFramesOfManyUploads(t *testing.T) {
	require.Long(t)
	t.Parallel()
	_, address := unreadPlain(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
	})
	frames, err := wire.DialFrames(address)
	if err != nil {
		t.Fatal(err)
	}
	defer frames.Close()
	var ids [maxStreams]uint32
	for i := range ids {
		if ids[i], err = frames.Request(http.MethodPost, "/", false); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	go func() {
		statuses, err := frames.Statuses(maxStreams)
		for id, status := range statuses {
			if status != "200" {
				err = errors.Join(err, fmt.Errorf("stream %d: %s", id, status))
			}
		}
		done <- err
	}()
	padding := make([]byte, 255)
	for sent := 0; sent < 2*unreadTotal; sent += len(padding) {
		if err := frames.WriteDataPadded(ids[sent/len(padding)%maxStreams], false, []byte("x"), padding); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range ids {
		if err := frames.WriteData(id, true, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
