package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
	"github.com/tus/tusd/internal/front"
	"github.com/tus/tusd/internal/logtest"
)

// net/http needs io.ReaderFrom to send files without a copy.
var _ io.ReaderFrom = (*countedConn)(nil)

// limitedServer starts a server with a limit of two connections per client. The
// loopback is not exempt here. With refuse it answers the connections above the limit.
func limitedServer(t *testing.T, refuse http.HandlerFunc, log *slog.Logger) (*connectionLimit, string) {
	t.Helper()
	eachAddress := func(addr netip.Addr) netip.Prefix { return netip.PrefixFrom(addr.Unmap(), 32) }
	limit := newConnectionLimit(2, eachAddress, new(atomic.Uint64), log)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := parse("-enable-h2c")
	if err != nil {
		t.Fatal(err)
	}
	server := newServer(cfg, limit.handler(refuse, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})), log)
	server.ConnContext = connContext
	go server.Serve(new(daemon).guardedListener(limit.listener(listener, refuse != nil)))
	t.Cleanup(func() { server.Close() })
	return limit, listener.Addr().String()
}

// refusalOf returns the handler that refuses requests in the daemon.
func refusalOf(t *testing.T, log *slog.Logger) http.HandlerFunc {
	t.Helper()
	composer := tusd.NewStoreComposer()
	store := &filestore.FileStore{Path: t.TempDir()}
	t.Cleanup(func() { store.Close() })
	store.UseIn(composer)
	handler, err := tusd.NewHandler(tusd.Config{BasePath: "/", StoreComposer: composer, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { handler.Shutdown(t.Context()) })
	return func(w http.ResponseWriter, r *http.Request) { front.RefuseConnection(handler, w, r) }
}

// requestOnNew sends a request over a new connection, which stays open until the
// test ends. The status is 0 if the connection was closed without an answer.
func requestOnNew(t *testing.T, address, method string, header ...string) (status int, answer http.Header, conn net.Conn) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(testTimeout))
	fmt.Fprintf(conn, "%s / HTTP/1.1\r\nHost: h\r\n%s\r\n", method, strings.Join(append(header, ""), "\r\n"))
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			t.Fatal(err)
		}
		return 0, nil, conn
	}
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Header, conn
}

func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	var log logtest.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	limit, address := limitedServer(t, refusalOf(t, logger), logger)
	_, _, first := requestOnNew(t, address, http.MethodGet)
	if status, _, _ := requestOnNew(t, address, http.MethodGet); status != http.StatusOK {
		t.Fatalf("the second connection: %d", status)
	}
	for _, c := range []struct {
		method, header string
		want           int
		content        string
	}{
		{http.MethodGet, "Tus-Resumable: 1.0.0", http.StatusServiceUnavailable, "text/plain; charset=utf-8"},
		{http.MethodPatch, "Tus-Resumable: 1.0.0\r\nContent-Length: 0", http.StatusServiceUnavailable, "text/plain; charset=utf-8"},
		{http.MethodPost, "Content-Length: 100000000", http.StatusServiceUnavailable, "text/plain; charset=utf-8"},
		{http.MethodPost, "Upload-Draft-Interop-Version: 8\r\nUpload-Complete: ?0", http.StatusServiceUnavailable, "application/problem+json"},
		{http.MethodHead, "Tus-Resumable: 1.0.0", http.StatusLocked, ""},
		{http.MethodHead, "Upload-Draft-Interop-Version: 6", http.StatusLocked, ""},
		{http.MethodHead, "Upload-Draft-Interop-Version: 6\r\nUser-Agent: App/1 CFNetwork/1.0", http.StatusServiceUnavailable, ""},
		{http.MethodHead, "Upload-Draft-Interop-Version: 8", http.StatusServiceUnavailable, ""},
	} {
		status, header, conn := requestOnNew(t, address, c.method, c.header, "Origin: https://app.example", "X-Request-ID: mine")
		if status != c.want || header.Get("Content-Type") != c.content || header.Get("Retry-After") == "" ||
			header.Get("Access-Control-Allow-Origin") == "" || header.Get("X-Request-Id") != "mine" {
			t.Errorf("%s with %s: %d, %v; want %d, %q and the header fields of every answer", c.method, c.header, status, header, c.want, c.content)
		}
		if n, err := conn.Read(make([]byte, 1)); n > 0 || err != io.EOF {
			t.Errorf("%s: the connection stays open: %v", c.method, err)
		}
	}
	if n := limit.refused.Load(); n != 8 {
		t.Errorf("%d refusals counted, want 8", n)
	}
	if lines := log.String(); strings.Count(lines, "\n") != 1 || !strings.Contains(lines, "client=127.0.0.1/32") {
		t.Errorf("the log of a client that was refused: %s", lines)
	}
	first.Close()
	await(t, "the limit to allow a connection", func() bool {
		status, _, _ := requestOnNew(t, address, http.MethodGet)
		return status == http.StatusOK
	})
}

// Refused connections are limited, too.
func TestManyRefusals(t *testing.T) {
	t.Parallel()
	limit, address := limitedServer(t, refusalOf(t, quiet), quiet)
	requestOnNew(t, address, http.MethodGet)
	requestOnNew(t, address, http.MethodGet)
	for range maxRefusals {
		if !limit.reserveRefusal() {
			t.Fatal("fewer refused connections may be open")
		}
	}
	if status, _, _ := requestOnNew(t, address, http.MethodGet); status != 0 {
		t.Errorf("with %d refused connections open: %d, want the connection closed", maxRefusals, status)
	}
	for range maxRefusals {
		limit.releaseRefusal()
	}
	if status, _, _ := requestOnNew(t, address, http.MethodGet); status != http.StatusServiceUnavailable {
		t.Errorf("with no refused connection open: %d", status)
	}
	if n := limit.refused.Load(); n != 2 {
		t.Errorf("%d refusals counted, want 2", n)
	}
}

// A refused connection that sends no request is closed after some time.
func TestSilentRefusals(t *testing.T) {
	t.Parallel()
	limit, address := limitedServer(t, refusalOf(t, quiet), quiet)
	requestOnNew(t, address, http.MethodGet)
	requestOnNew(t, address, http.MethodGet)
	for range 2 * maxRefusals {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
	}
	await(t, "all to be refused", func() bool { return limit.refused.Load() == 2*maxRefusals })
	await(t, "silent connections to be closed", func() bool { return len(limit.refusals) == 0 })
}

func TestRefusalOverHTTP2(t *testing.T) {
	_, address := limitedServer(t, refusalOf(t, quiet), quiet)
	requestOnNew(t, address, http.MethodGet)
	requestOnNew(t, address, http.MethodGet)
	var h2c http.Protocols
	h2c.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &h2c}
	t.Cleanup(transport.CloseIdleConnections)
	resp, err := (&http.Client{Transport: transport}).Get("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%s %d, want HTTP/2 and 503", resp.Proto, resp.StatusCode)
	}
}

// A refused HTTP/2 connection is closed even if the client accepts no content.
func TestRefusedHTTP2ConnectionIsClosed(t *testing.T) {
	t.Parallel()
	limit, address := limitedServer(t, refusalOf(t, quiet), quiet)
	requestOnNew(t, address, http.MethodGet)
	requestOnNew(t, address, http.MethodGet)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	framer := http2.NewFramer(conn, conn)
	io.WriteString(conn, http2.ClientPreface)
	framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: 1, EndHeaders: true, EndStream: true,
		BlockFragment: []byte("\x82\x86\x84\x01\x01h"), // GET http / of the host h
	})
	conn.SetReadDeadline(time.Now().Add(testTimeout))
	answered := false
	for err == nil {
		var frame http2.Frame
		if frame, err = framer.ReadFrame(); err == nil {
			answered = answered || frame.Header().Type == http2.FrameHeaders
		}
	}
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		t.Error("the connection stays open")
	}
	if !answered {
		t.Error("no answer")
	}
	await(t, "the refused connection to be released", func() bool { return len(limit.refusals) == 0 })
}

func TestRefusalUnderTLS(t *testing.T) {
	_, address := limitedServer(t, nil, quiet)
	requestOnNew(t, address, http.MethodGet)
	requestOnNew(t, address, http.MethodGet)
	if status, _, _ := requestOnNew(t, address, http.MethodGet); status != 0 {
		t.Errorf("%d, want the connection closed", status)
	}
}
