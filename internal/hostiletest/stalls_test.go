//go:build linux

package hostiletest

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http2"
)

// stall is a connection on which the server waits for the client.
type stall struct {
	name string
	open func(*attacker) (net.Conn, error)
}

// download is the size in bytes of the upload whose download is not read.
const download = 4 << 20

// servedPaths has a path for each kind of resource.
func servedPaths(upload string) []string {
	return []string{
		"/", "/healthz", "/metrics", "/debug/pprof/", "/debug/pprof/goroutine?debug=1", "/nowhere", "/favicon.ico",
		uploads, uploads + "unknown", uploads + "unknown/", upload,
	}
}

var requestMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"}

// stalls returns all kinds. upload is the path of an upload of download bytes.
func stalls(upload string) []stall {
	return slices.Concat(silentConnections(), unfinishedBodies(), []stall{halfBodyHTTP2()}, unreadAnswers(upload), zeroWindows(upload), unfinishedFrames(), missingBodies(upload))
}

// silentConnections send no complete request, or stay idle after one.
func silentConnections() []stall {
	return []stall{
		{"silence", func(a *attacker) (net.Conn, error) { return a.dial() }},
		{"half a request line", sendingText("HEA")},
		{"half a header", sendingText("HEAD /files/x HTTP/1.1\r\nHost: a\r\nX-A")},
		{"kept alive", func(a *attacker) (net.Conn, error) { return a.sendText(a.head("OPTIONS", uploads)) }},
		{"TLS where there is none", sendingText("\x16\x03\x01\x02\x00\x01")},
		{"half a preface", sendingText(http2.ClientPreface[:10])},
		{"a preface", sendingText(http2.ClientPreface)},
		{"settings", onHTTP2(func(*attacker, *http2Conn) error { return nil })},
	}
}

// unfinishedBodies are uploads over HTTP/1.1 whose body does not end.
func unfinishedBodies() []stall {
	half := strings.Repeat("x", 5000)
	return []stall{
		{"half a body", sendingPatch("Content-Length: 10000\r\n\r\n" + half)},
		{"half a chunk of a body", sendingPatch("Transfer-Encoding: chunked\r\n\r\n2000\r\n" + half)},
		{"no trailer", sendingPatch("Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\n")},
		{"an endless extension of a chunk", sendingPatch("Transfer-Encoding: chunked\r\n\r\n1;" + half[:3000])},
		{"a checksummed chunk", sendingPatch("Upload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=\r\nContent-Length: 10000\r\n\r\n" + half)},
		{"Expect", sendingPatch("Expect: 100-continue\r\nContent-Length: 10000\r\n\r\n")},
		{"creation with half a body", func(a *attacker) (net.Conn, error) {
			return a.sendText(a.head("POST", uploads, "Upload-Length: 10000", offsetStream, "Content-Length: 10000") + half)
		}},
		{"IETF creation with half a body", func(a *attacker) (net.Conn, error) {
			return a.sendText(draftHead("POST", a.Address, uploads, "Upload-Complete: ?1", "Content-Length: 10000") + half)
		}},
	}
}

// halfBodyHTTP2 is half a body over HTTP/2.
func halfBodyHTTP2() stall {
	return stall{"HTTP2 half a body", onHTTP2(func(a *attacker, c *http2Conn) error {
		path, err := a.create(10000)
		if err != nil {
			return err
		}
		id, err := c.openStreamAndFlush("PATCH", path, false, "Upload-Offset: 0", offsetStream, "Content-Length: 10000")
		if err != nil {
			return err
		}
		return c.writeAndFlush(func() error { return c.WriteData(id, false, make([]byte, 5000)) })
	})}
}

// unreadAnswers are answers that are not read.
func unreadAnswers(upload string) []stall {
	return []stall{
		unreadAnswer("download", upload, "GET", 1),
		unreadAnswer("HEAD", upload, "HEAD", 2000),
		unreadAnswer("metrics", "/metrics", "GET", 200),
		unreadAnswer("profiles", "/debug/pprof/goroutine?debug=2", "GET", 20),
		unreadAnswer("greetings", "/", "GET", 2000),
	}
}

// zeroWindows are answers over HTTP/2 for which the client has no window.
func zeroWindows(upload string) []stall {
	return []stall{
		zeroWindow("download", upload),
		zeroWindow("metrics", "/metrics"),
		zeroWindow("profile", "/debug/pprof/goroutine?debug=2"),
		zeroWindow("greeting", "/"),
		zeroWindow("nothing", "/nowhere"),
		zeroWindow("error", uploads+"unknown"),
	}
}

// unfinishedFrames are HTTP/2 connections with unfinished or unread frames.
func unfinishedFrames() []stall {
	return []stall{
		{"HTTP2 unread frames", func(a *attacker) (net.Conn, error) {
			c, err := a.dialHTTP2(http2Options{noReads: true, receiveBuffer: 4096, window: 1 << 30})
			for range 20 {
				if err == nil {
					_, err = c.openStreamAndFlush("GET", "/metrics", true)
				}
			}
			return connected(c, err)
		}},
		{"HTTP2 unfinished header", onHTTP2(func(a *attacker, c *http2Conn) error {
			return c.writeAndFlush(func() error {
				return c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.encodeHead("HEAD", uploads, nil)})
			})
		})},
		{"HTTP2 half a frame", onHTTP2(func(a *attacker, c *http2Conn) error {
			_, err := c.conn.Write([]byte{0, 0, 200, 1, 4, 0, 0, 0, 1, 2, 3})
			return err
		})},
	}
}

// missingBodies are requests that announce a body and never send it.
func missingBodies(upload string) (all []stall) {
	for _, path := range servedPaths(upload) {
		for _, method := range requestMethods {
			if path == upload && method == "DELETE" {
				continue // other stalls need it
			}
			all = append(all,
				stall{method + " " + path + " without its body", func(a *attacker) (net.Conn, error) {
					return a.sendText(a.head(method, path, "Content-Length: 100000"))
				}},
				stall{"HTTP2 " + method + " " + path + " without its body", onHTTP2(func(_ *attacker, c *http2Conn) error {
					_, err := c.openStreamAndFlush(method, path, false)
					return err
				})},
			)
		}
	}
	return append(all,
		stall{"OPTIONS * without its body", sendingText("OPTIONS * HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")},
		stall{"CONNECT without its body", sendingText("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 9\r\n\r\n")},
		stall{"HTTP/1.0 without its body", sendingText("POST /metrics HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 9\r\n\r\n")},
	)
}

// sendingText opens a connection and sends text.
func sendingText(text string) func(*attacker) (net.Conn, error) {
	return func(a *attacker) (net.Conn, error) { return a.sendText(text) }
}

// onHTTP2 opens an HTTP/2 connection whose answers are not read, and calls do.
func onHTTP2(do func(*attacker, *http2Conn) error) func(*attacker) (net.Conn, error) {
	return func(a *attacker) (net.Conn, error) {
		c, err := a.dialHTTP2(http2Options{noReads: true})
		if err == nil {
			err = do(a, c)
		}
		return connected(c, err)
	}
}

// connected returns the connection of c, or err.
func connected(c *http2Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	return c.conn, nil
}

// sendingPatch creates an upload and sends the beginning of a PATCH.
func sendingPatch(rest string) func(*attacker) (net.Conn, error) {
	return func(a *attacker) (net.Conn, error) {
		path, err := a.create(10000)
		if err != nil {
			return nil, err
		}
		begin := a.head("PATCH", path, "Upload-Offset: 0", offsetStream)
		return a.sendText(strings.TrimSuffix(begin, "\r\n") + rest)
	}
}

// draftHead returns the head of a request of the IETF draft.
func draftHead(method, host, path string, lines ...string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nUpload-Draft-Interop-Version: 9\r\n%s\r\n\r\n",
		method, path, host, strings.Join(lines, "\r\n"))
}

// unreadAnswer sends n requests and reads no answer.
func unreadAnswer(what, path, method string, n int) stall {
	return stall{"unread " + what, func(a *attacker) (net.Conn, error) {
		conn, err := a.dialSmall(4096)
		if err != nil {
			return nil, err
		}
		// The server reads no more requests while its answers are not read.
		conn.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		io.WriteString(conn, strings.Repeat(a.head(method, path), n))
		return conn, nil
	}}
}

// zeroWindow requests path with a window of 0 for the answer.
func zeroWindow(what, path string) stall {
	return stall{"HTTP2 zero window, " + what, func(a *attacker) (net.Conn, error) {
		c, err := a.dialHTTP2(http2Options{zeroWindow: true, noReads: true})
		if err == nil {
			_, err = c.openStreamAndFlush("GET", path, true)
		}
		return connected(c, err)
	}}
}

// halfHandshake begins TLS and stops.
func halfHandshake(a *attacker) (net.Conn, error) {
	conn, err := a.dial()
	if err != nil {
		return nil, err
	}
	half := &halfConn{Conn: conn}
	tls.Client(half, &tls.Config{InsecureSkipVerify: true}).Handshake() // it fails after the first message
	return conn, nil
}

// halfConn writes once and reads nothing.
type halfConn struct{ net.Conn }

func (halfConn) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
func (halfConn) Close() error             { return nil }
