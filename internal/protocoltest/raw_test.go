package protocoltest

import (
	"bufio"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd/internal/tusclient"
	"github.com/tus/tusd/internal/wire"
)

// TestHTTP1 has the cases that only HTTP/1.1 has: several requests in one write, two framings
// of one body, half-closed connections.
func TestHTTP1(t *testing.T) {
	runOn(t, memoryStore, protocols[:1], []scenario{
		{"pipelined", "requests that arrive together are answered in order", rawPipelined},
		{"both_framings", "Content-Length beside chunked: what follows the body does not run as a request", rawBothFramings},
		{"chunked_closes", "after a chunked request the connection is closed, whatever the answer", rawChunkedCloses},
		{"lengths_differ", "two Content-Length that differ are refused, and nothing is stored", rawLengthsDiffer},
		{"bad_chunk", "a malformed chunk ends the body: what came before it is kept, the rest does not run", rawBadChunk},
		{"http10", "a client of HTTP/1.0 can ask where an upload stands", rawHTTP10},
		{"http10_closes", "HTTP/1.0 is not kept alive: a proxy may see another end of the request", rawHTTP10Closes},
		{"other_protocols_close", "what follows a CONNECT, an Upgrade or the beginning of HTTP/2 does not run as a request", rawOtherProtocolsClose},
		{"hidden_in_content", "content that no method needs does not run as a request", rawHiddenInContent},
		{"rest_of_body_is_no_request", "the rest of a refused body does not run as a request", rawRefusedBody},
	})
}

// rawConn is a connection on which a test sends bytes that no client would send.
type rawConn struct {
	net.Conn
	env    *env
	reader *bufio.Reader
}

func (e *env) rawConn() *rawConn {
	e.start()
	conn, err := net.Dial("tcp", e.server.Listener.Addr().String())
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		e.Fatal(err)
	}
	return &rawConn{conn, e, bufio.NewReader(conn)}
}

func (c *rawConn) send(s string) {
	c.env.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.env.Errorf("send: %v", err)
	}
}

func (c *rawConn) halfClose() {
	c.env.Helper()
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		c.env.Errorf("end sending: %v", err)
	}
}

// answer reads the next answer.
func (c *rawConn) answer(method string) *answer {
	c.env.Helper()
	response, err := wire.ReadResponse(c.reader, method, func(wire.Interim) {})
	if err != nil {
		response = &wire.Response{}
	}
	return c.env.answer(method+" over a raw socket", tusclient.Answer{Response: *response}, err)
}

// wantClosed checks that the server closes the connection and sends nothing before.
func (c *rawConn) wantClosed() {
	c.env.Helper()
	if rest, _ := io.ReadAll(c.reader); len(rest) > 0 {
		c.env.Errorf("after the last answer came %q, want the end of the connection", rest)
	}
}

func rawHead(target string) string {
	return "HEAD " + target + " HTTP/1.1\r\nHost: h\r\n" + version + "\r\n\r\n"
}

func rawDelete(target string) string {
	return "DELETE " + target + " HTTP/1.1\r\nHost: h\r\n" + version + "\r\n\r\n"
}

func rawPatch(target, body string, header ...string) string {
	return "PATCH " + target + " HTTP/1.1\r\nHost: h\r\n" + lines(append(header, version, octets, "Upload-Offset: 0")...) + "\r\n" + body
}

func rawPipelined(e *env) {
	u := e.create(10)
	c := e.rawConn()
	c.send(rawPatch(u, "0123456789", "Content-Length: 10") + rawHead(u) + rawDelete(u) + rawHead(u))
	c.answer("PATCH").status(204).header("Upload-Offset", "10")
	c.answer("HEAD").status(200).header("Upload-Offset", "10")
	c.answer("DELETE").status(204)
	c.answer("HEAD").status(404)
}

func rawBothFramings(e *env) {
	for _, header := range [][]string{
		{"Content-Length: 5", "Transfer-Encoding: chunked"},
		{"Transfer-Encoding: chunked", "Content-Length: 5"},
	} {
		u, victim := e.create(100), e.create(100)
		c := e.rawConn()
		c.send(rawPatch(u, "0\r\n\r\n"+rawDelete(victim), header...))
		if a := c.answer("PATCH"); a.Status >= 500 {
			e.Errorf("status %d", a.Status)
		}
		c.wantClosed()
		e.wantOffset(victim, 0)
	}
}

func rawChunkedCloses(e *env) {
	for _, target := range []string{e.create(3), e.create(100), e.create(2), "/files/unknown", "/files/"} {
		victim := e.create(100)
		c := e.rawConn()
		c.send(rawPatch(target, "3\r\nabc\r\n0\r\n\r\n"+rawDelete(victim), "Transfer-Encoding: chunked"))
		if a := c.answer("PATCH"); !a.Close {
			e.Errorf("the answer %d to a chunked request does not announce the end of the connection", a.Status)
		}
		c.wantClosed()
		e.wantOffset(victim, 0)
	}
}

func rawLengthsDiffer(e *env) {
	u, victim := e.create(100), e.create(100)
	c := e.rawConn()
	c.send(rawPatch(u, "012"+rawDelete(victim), "Content-Length: 3", "Content-Length: 30"))
	c.answer("PATCH").status(400)
	c.wantClosed()
	e.wantOffset(u, 0)
	e.wantOffset(victim, 0)
}

func rawBadChunk(e *env) {
	u, victim := e.create(100), e.create(100)
	c := e.rawConn()
	c.send(rawPatch(u, "3\r\nabc\r\nxyz\r\n0\r\n\r\n"+rawDelete(victim), "Transfer-Encoding: chunked"))
	if a := c.answer("PATCH"); a.Status < 400 {
		e.Errorf("status %d for a malformed body", a.Status)
	}
	c.wantClosed()
	e.wantOffset(u, 3)
	e.wantOffset(victim, 0)
}

func rawHTTP10(e *env) {
	u := e.create(100)
	c := e.rawConn()
	c.send("HEAD " + u + " HTTP/1.0\r\n" + version + "\r\n\r\n")
	c.answer("HEAD").status(200).header("Upload-Offset", "0")
	c.wantClosed()
}

func rawHTTP10Closes(e *env) {
	for _, method := range []string{"HEAD", "GET", "POST", "PATCH", "DELETE", "OPTIONS", "FOO"} {
		for _, framing := range [][]string{
			nil,
			{"Content-Length: 0"},
			{"Content-Length: 5"},
			{"Transfer-Encoding: chunked"},
			{"Content-Length: 5", "Transfer-Encoding: chunked"},
			{"Content-Length: 0", "Transfer-Encoding: chunked"},
			{"Transfer-Encoding: identity", "Content-Length: 5"},
			{"Expect: 100-continue", "Content-Length: 5"},
		} {
			for _, target := range []string{"/files/", e.create(100), "/files/unknown"} {
				victim := e.create(100)
				c := e.rawConn()
				header := append(framing, "Connection: keep-alive", version, octets, "Upload-Offset: 0", "Upload-Length: 100")
				c.send(method + " " + target + " HTTP/1.0\r\n" + lines(header...) + "\r\n0\r\n\r\n" + rawDelete(victim))
				c.answer(method).header("Connection", "close")
				c.wantClosed()
				e.wantOffset(victim, 0)
			}
		}
	}
}

func rawOtherProtocolsClose(e *env) {
	u := e.create(100)
	for _, begin := range []string{
		"CONNECT " + u + " HTTP/1.1\r\nHost: h\r\n" + version + "\r\n\r\n",
		"GET " + u + " HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		"HEAD " + u + " HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n" + version + "\r\n\r\n",
		"OPTIONS " + u + " HTTP/1.1\r\nHost: h\r\nUpgrade: TLS/1.2\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\n",
	} {
		victim := e.create(100)
		c := e.rawConn()
		c.send(begin + rawDelete(victim))
		method, _, _ := strings.Cut(begin, " ")
		if a := c.answer(method); !a.Close {
			e.Errorf("the answer %d to %q does not announce the end of the connection", a.Status, begin)
		}
		c.wantClosed()
		e.wantOffset(victim, 0)
	}
}

// rawHiddenInContent sends requests in the content of others: with a length, with Expect,
// with a folded line. The server must read them as content, or close the connection.
func rawHiddenInContent(e *env) {
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "DELETE", "POST", "FOO"} {
		for _, header := range [][]string{
			nil,
			{"Expect: 100-continue"},
			{"X-HTTP-Method-Override: HEAD"},
			{"X: a\r\n\tTransfer-Encoding: chunked"},
		} {
			for _, target := range []string{"/files/", e.create(100), e.createFull(content(100)), "/files/unknown"} {
				victim := e.create(100)
				hidden := rawDelete(victim)
				c := e.rawConn()
				header := append([]string{"Content-Length: " + strconv.Itoa(len(hidden)), version}, header...)
				c.send(method + " " + target + " HTTP/1.1\r\nHost: h\r\n" + lines(header...) + "\r\n" + hidden + rawHead(victim))
				if a := c.answer(method); !a.Close {
					c.answer("HEAD").status(200).header("Upload-Offset", "0")
				} else {
					c.wantClosed()
				}
				e.wantOffset(victim, 0)
			}
		}
	}
}

func rawRefusedBody(e *env) {
	u, victim := e.create(100), e.create(100)
	c := e.rawConn()
	smuggled := rawDelete(victim)
	c.send("PATCH " + u + " HTTP/1.1\r\nHost: h\r\n" +
		lines(version, octets, "Upload-Offset: 7", "Content-Length: "+strconv.Itoa(len(smuggled))) + "\r\n" + smuggled + rawHead(u))
	c.answer("PATCH").status(409)
	c.answer("HEAD").status(200).header("Upload-Offset", "0")
	e.wantOffset(victim, 0)
}
