package guard_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/tus/tusd/internal/guard"
	"github.com/tus/tusd/internal/wire"
)

// testTimeout limits every wait of a test.
const testTimeout = 20 * time.Second

// serve serves a handler over HTTP/1 and HTTP/2 without TLS, and returns the address.
func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Config.Close()
		server.Close()
	})
	return server.Listener.Addr().String()
}

func text(content string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, content) })
}

// send sends a request over a new HTTP/1 connection.
func send(t *testing.T, address, request string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(testTimeout)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

func mustAnswer(t *testing.T, r *bufio.Reader, status int, content string) *wire.Response {
	t.Helper()
	a, err := wire.ReadResponse(r, http.MethodGet, func(wire.Interim) {})
	if err != nil {
		t.Fatal(err)
	}
	if a.Status != status || string(a.Body) != content {
		t.Errorf("%d %q, want %d %q", a.Status, a.Body, status, content)
	}
	return a
}

func await(t *testing.T, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testTimeout); !met(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// A handler that does not read the body is answered before the body comes. Afterwards the
// connection is closed, or serves the next request.
func TestUnneededBody(t *testing.T) {
	t.Parallel()
	g := guard.New(time.Minute)
	ends := make(map[string]*bufio.Reader) // read when all connections have sent their request
	for name, handler := range map[string]http.Handler{
		"page": g.Page(9, text("hello"), nil), "stream": g.Stream(9, text("hello")), "excess": g.Page(0, nil, text("hello")),
	} {
		address := serve(t, handler)
		for _, announced := range []string{"Content-Length: 5", "Transfer-Encoding: chunked", "Content-Length: 5\r\nExpect: 100-continue"} {
			for _, sent := range []bool{true, false} {
				conn, r := send(t, address, "GET / HTTP/1.1\r\nHost: h\r\n"+announced+"\r\n\r\n")
				a := mustAnswer(t, r, http.StatusOK, "hello")
				if sent && !a.Close && announced == "Content-Length: 5" {
					io.WriteString(conn, "12345GET / HTTP/1.1\r\nHost: h\r\n\r\n")
					mustAnswer(t, r, http.StatusOK, "hello")
				} else {
					ends[name+", "+announced] = r
				}
			}
		}
	}
	for name, r := range ends {
		if rest, err := io.ReadAll(r); len(rest) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: after the answer came %q and %v, want the end", name, rest, err)
		}
	}
}

// A proxy may see another end of these requests: the connection is closed after the answer.
func TestAmbiguousEndClosesConnection(t *testing.T) {
	t.Parallel()
	g := guard.New(time.Minute)
	for name, handler := range map[string]http.Handler{
		"page": g.Page(9, text("hello"), nil), "stream": g.Stream(9, text("hello")), "silent": g.Stream(9, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})),
	} {
		address := serve(t, handler)
		for _, request := range []string{
			"GET / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
			"CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n",
		} {
			_, r := send(t, address, request+"GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n")
			a, err := wire.ReadResponse(r, http.MethodGet, func(wire.Interim) {})
			if err != nil {
				t.Fatal(err)
			}
			if rest, _ := io.ReadAll(r); !a.Close || len(rest) > 0 {
				t.Errorf("%s: %q: close %v, and then %q", name, request, a.Close, rest)
			}
		}
	}
}

// A handler that reads the body gets an error at the deadline.
func TestReadDeadline(t *testing.T) {
	t.Parallel()
	g := guard.New(100 * time.Millisecond)
	read := make(chan error, 1)
	address := serve(t, g.Stream(1, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		read <- err
	})))
	send(t, address, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n")
	select {
	case err := <-read:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("reading: %v", err)
		}
	case <-time.After(testTimeout):
		t.Error("reading does not end")
	}
}

func TestBodyIsRead(t *testing.T) {
	t.Parallel()
	g := guard.New(time.Minute)
	address := serve(t, g.Stream(1, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
	})))
	conn, r := send(t, address, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")
	for range 2 {
		mustAnswer(t, r, http.StatusOK, "hello")
		io.WriteString(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")
	}
}

// Requests beyond the limit are refused at once. Handlers with another limit are not
// affected.
func TestLimit(t *testing.T) {
	t.Parallel()
	g := guard.New(time.Minute)
	release := make(chan struct{})
	var inside, most atomic.Int64
	slow := g.Page(2, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		raise(&most, inside.Add(1))
		defer inside.Add(-1)
		<-release
		io.WriteString(w, "slow")
	}), nil)
	mux := http.NewServeMux()
	mux.Handle("/slow", slow)
	mux.Handle("/", g.Page(2, text("quick"), nil))
	address := serve(t, mux)
	const request = "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n"
	_, first := send(t, address, request)
	_, second := send(t, address, request)
	await(t, "two requests", func() bool { return inside.Load() == 2 })
	_, third := send(t, address, request)
	if a := mustAnswer(t, third, http.StatusServiceUnavailable, ""); a.Header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", a.Header["Retry-After"])
	}
	_, other := send(t, address, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	mustAnswer(t, other, http.StatusOK, "quick")
	close(release)
	mustAnswer(t, first, http.StatusOK, "slow")
	mustAnswer(t, second, http.StatusOK, "slow")
	if most.Load() != 2 {
		t.Errorf("%d handlers in parallel", most.Load())
	}
}

// raise makes a counter n unless it is more.
func raise(counter *atomic.Int64, n int64) {
	for was := counter.Load(); was < n && !counter.CompareAndSwap(was, n); was = counter.Load() {
	}
}

// A stream that is reset counts in the limit until its handler ends.
func TestResetStreamCountsUntilItsEnd(t *testing.T) {
	t.Parallel()
	g := guard.New(time.Minute)
	release := make(chan struct{})
	var inside, most atomic.Int64
	address := serve(t, g.Page(3, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		raise(&most, inside.Add(1))
		<-release
		inside.Add(-1)
	}), nil))
	f := frames(t, address)
	for range 500 {
		id, err := f.Request("GET", "/", true)
		if err == nil {
			err = f.WriteRSTStream(id, http2.ErrCodeCancel)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	await(t, "the limit to be reached", func() bool { return inside.Load() == 3 })
	id, err := f.Request("GET", "/", true)
	if err != nil {
		t.Fatal(err)
	}
	for { // streams that were reset may have answers before it
		statuses, err := f.Statuses(1)
		if err != nil {
			t.Fatal(err)
		}
		if status, ok := statuses[id]; ok && status != "503" {
			t.Errorf("status %s", status)
		} else if ok {
			break
		}
	}
	close(release)
	await(t, "all handlers to end", func() bool { return inside.Load() == 0 })
	if most.Load() != 3 {
		t.Errorf("%d handlers in parallel", most.Load())
	}
}

func frames(t *testing.T, address string, settings ...http2.Setting) *wire.Frames {
	t.Helper()
	f, err := wire.DialFrames(address, settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// emptyWindow is the setting of a client that accepts no content.
var emptyWindow = http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}

// An answer that is not read counts in the limit until the timeout. Meanwhile other requests
// are refused without content.
func TestUnreadAnswers(t *testing.T) {
	t.Parallel()
	g := guard.New(250 * time.Millisecond)
	address := serve(t, g.Page(3, text("hello"), nil))
	f := frames(t, address, emptyWindow)
	const requests = 20
	for range requests {
		if _, err := f.Request("GET", "/", true); err != nil {
			t.Fatal(err)
		}
	}
	statuses, err := f.Statuses(requests)
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[string]int)
	for _, status := range statuses {
		count[status]++
	}
	if count["200"] != 3 || count["503"] != requests-3 {
		t.Errorf("answers %v", count)
	}
	await(t, "the limit to allow a request", func() bool {
		resp, err := http.Get("http://" + address)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// Close ends running requests. Later requests are served.
func TestClose(t *testing.T) {
	t.Parallel()
	g := guard.New(time.Hour)
	var inside atomic.Int64
	address := serve(t, g.Stream(9, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inside.Add(1)
		defer inside.Add(-1)
		switch r.URL.Path {
		case "/works":
			<-r.Context().Done()
		case "/reads":
			io.Copy(io.Discard, r.Body)
		case "/writes":
			for err := error(nil); err == nil; {
				_, err = w.Write(make([]byte, 64<<10))
			}
		default:
			io.WriteString(w, "hello")
		}
	})))
	send(t, address, "GET /works HTTP/1.1\r\nHost: h\r\n\r\n")
	send(t, address, "POST /reads HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n")
	send(t, address, "GET /writes HTTP/1.1\r\nHost: h\r\n\r\n")
	f := frames(t, address, emptyWindow)
	if _, err := f.Request("GET", "/writes", true); err != nil {
		t.Fatal(err)
	}
	await(t, "four requests", func() bool { return inside.Load() == 4 })
	g.Close()
	await(t, "the requests to end", func() bool { return inside.Load() == 0 })
	_, r := send(t, address, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	mustAnswer(t, r, http.StatusOK, "hello")
}
