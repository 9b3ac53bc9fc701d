package protocoltest

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Tests of bodies that the answer does not need: never sent, sent late, endless.
func TestUnread(t *testing.T) {
	runOn(t, memoryStore, protocols[:1], []scenario{
		{"never_sent", "an answer that needs no body comes without it, and the connection is closed", unreadNeverSent},
		{"late_body_is_no_request", "bytes that come after the time for the rest of a body do not run as a request", unreadLate},
		{"sent_after_the_answer", "a body that comes after the answer is discarded, and the next request is served", unreadSentAfter},
		{"endless", "a body without an end does not keep the connection open", unreadEndless},
		{"download", "a download does not wait for a body", unreadDownload},
		{"hidden_writer", "an answer behind a wrapper that hides full duplex does not wait for the body", unreadHidden},
	})
	runOn(t, memoryStore, protocols, []scenario{
		{"half_open", "an answer that needs no body comes before the end of the request", unreadHalfOpen},
	})
}

// requestsWithoutBody are requests whose answers need no body.
var requestsWithoutBody = []struct {
	name, method string
	complete     bool // the upload
	header       []string
	status       int
}{
	{"HEAD", "HEAD", false, []string{version}, 200},
	{"HEAD of a download", "HEAD", true, nil, 200},
	{"GET", "GET", true, nil, 200},
	{"GET, not modified", "GET", true, []string{"If-None-Match: *"}, 304},
	{"DELETE", "DELETE", false, []string{version}, 204},
	{"OPTIONS", "OPTIONS", false, nil, 200},
	{"HEAD by override", "POST", false, []string{version, "X-HTTP-Method-Override: HEAD"}, 200},
	{"DELETE by override", "POST", false, []string{version, "X-HTTP-Method-Override: DELETE"}, 204},
	{"PATCH at another offset", "PATCH", false, []string{version, octets, "Upload-Offset: 7"}, 409},
	{"PATCH of another type", "PATCH", false, []string{version, "Upload-Offset: 0"}, 415},
	{"unknown version", "PATCH", false, []string{"Tus-Resumable: 0.1"}, 412},
	{"unknown method", "BREW", false, []string{version}, 405},
	{"draft: HEAD", "HEAD", true, []string{"Upload-Draft-Interop-Version: 8"}, 0},
	{"draft: DELETE", "DELETE", false, []string{"Upload-Draft-Interop-Version: 8"}, 0},
	{"draft: PATCH at another offset", "PATCH", false, []string{"Upload-Draft-Interop-Version: 8", "Upload-Complete: ?0", "Upload-Offset: 7", "Content-Type: application/partial-upload"}, 409},
}

// framings are headers of a request with a body.
var framings = map[string][]string{
	"length":  {"Content-Length: 5"},
	"chunked": {"Transfer-Encoding: chunked"},
	"expects": {"Content-Length: 5", "Expect: 100-continue"},
}

// eachRequestWithoutBody sends the head of each request with each framing, each on its own
// connection, and runs test on it. Then it calls the functions that test has returned, so
// that all requests wait at the same time.
func eachRequestWithoutBody(e *env, test func(c *rawConn, method string, status int) (later func())) {
	e.config.DisableIETF = false
	e.start()
	var rest []func()
	for _, u := range requestsWithoutBody {
		for framing, announced := range framings {
			target := e.create(100)
			if u.complete {
				target = e.createFull([]byte("abc"))
			}
			c := e.rawConn()
			if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				e.Fatal(err)
			}
			e.Run(u.name+", "+framing, func(t *testing.T) {
				c.env = e.within(t)
				c.send(u.method + " " + target + " HTTP/1.1\r\nHost: h\r\n" + lines(append(announced, u.header...)...) + "\r\n")
				later := test(c, u.method, u.status)
				rest = append(rest, func() {
					e.Run(u.name+", "+framing+", later", func(t *testing.T) {
						c.env = e.within(t)
						later()
					})
				})
			})
		}
	}
	for _, later := range rest {
		later()
	}
}

// within is the same environment for a subtest.
func (e *env) within(t *testing.T) *env {
	return &env{T: t, server: e.server, handler: e.handler, protocol: e.protocol}
}

func unreadNeverSent(e *env) {
	eachRequestWithoutBody(e, func(c *rawConn, method string, status int) func() {
		a := c.answer(method)
		if status != 0 {
			a.status(status)
		}
		return c.wantEnd
	})
}

// wantEnd checks that the server closes the connection and sends nothing before.
func (c *rawConn) wantEnd() {
	c.env.Helper()
	rest, err := io.ReadAll(c.reader)
	if len(rest) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		c.env.Errorf("after the last answer came %q and %v, want the end of the connection", rest, err)
	}
}

func unreadLate(e *env) {
	for _, head := range []string{"HEAD %s HTTP/1.1\r\n" + version, "PATCH %s HTTP/1.1\r\n" + version, "OPTIONS %s HTTP/1.1"} {
		u, victim := e.create(100), e.create(100)
		smuggled := rawDelete(victim)
		c := e.rawConn()
		c.send(strings.Replace(head, "%s", u, 1) + "\r\nHost: h\r\nContent-Length: " + strconv.Itoa(len(smuggled)+1) + "\r\n\r\n")
		c.answer(head[:strings.Index(head, " ")])
		e.eventually("no request is inside the handler", func() bool { return e.running.Load() == 0 })
		io.WriteString(c, smuggled)
		c.wantEnd()
		e.wantOffset(victim, 0)
	}
}

func unreadSentAfter(e *env) {
	eachRequestWithoutBody(e, func(c *rawConn, method string, _ int) func() {
		if c.answer(method).Close {
			return c.wantEnd
		}
		c.send("hello" + rawHead("/files/unknown"))
		c.answer("HEAD").status(404)
		return func() {}
	})
}

func unreadEndless(e *env) {
	u := e.create(100)
	for name, more := range map[string]string{
		"chunks":     "5\r\nhello\r\n",
		"extensions": "1;" + strings.Repeat("x", 4000) + "\r\n.\r\n",
		"trailers":   "0\r\n" + strings.Repeat("X-A: b\r\n", 10000),
		"nothing":    "",
	} {
		e.Run(name, func(t *testing.T) {
			t.Parallel()
			c := e.within(t).rawConn()
			c.send("HEAD " + u + " HTTP/1.1\r\nHost: h\r\n" + version + "\r\nTransfer-Encoding: chunked\r\n\r\n")
			c.answer("HEAD").status(200)
			for err := error(nil); err == nil && more != ""; {
				_, err = io.WriteString(c, more)
				if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error("the server neither reads what is sent nor closes the connection")
				}
			}
		})
	}
}

func unreadDownload(e *env) {
	data := content(8 << 20)
	u := e.createFull(data)
	c := e.rawConn()
	c.send("GET " + u + " HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n")
	if a := c.answer("GET").status(200); digest(a.Body) != digest(data) {
		e.Errorf("a download of %s, want %s", digest(a.Body), digest(data))
	}
	c.send("hello" + rawHead(u))
	c.answer("HEAD").status(200)
}

func unreadHidden(e *env) {
	mounted(e, wrapped(func(w http.ResponseWriter) http.ResponseWriter { return hidingWriter{w} }))
	u := e.create(100)
	c := e.rawConn()
	c.send("HEAD " + u + " HTTP/1.1\r\nHost: h\r\n" + version + "\r\nContent-Length: 5\r\n\r\n")
	if a := c.answer("HEAD").status(200); !a.Close {
		e.Error("the end of the connection is not announced")
	}
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		e.Error(err)
	}
	c.wantEnd()
}

func unreadHalfOpen(e *env) {
	u := e.create(100)
	for _, method := range []string{http.MethodHead, http.MethodOptions, http.MethodDelete} {
		s := e.another().openMethod(method, u, 5, version)
		select {
		case <-s.Done():
			if r, err := s.Response(); err != nil || r.Status >= 300 {
				e.Errorf("%s: %v, %v", method, r, err)
			}
		case <-time.After(10 * time.Second):
			e.Errorf("%s: no answer", method)
		}
	}
}
