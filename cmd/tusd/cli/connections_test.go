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
)

// net/http sends files without copying them only through this.
var _ io.ReaderFrom = (*countedConn)(nil)

// guardedServer is a server on the loopback, which is not exempt here, with a
// limit of two connections per client.
func guardedServer(t *testing.T, refuse func(net.Conn), log *slog.Logger) (*connectionLimit, string) {
	t.Helper()
	limit := newConnectionLimit(2, listening{}, new(atomic.Uint64), log)
	limit.exempt = func(netip.Addr) bool { return false }
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	go server.Serve(limit.guard(listener, refuse))
	t.Cleanup(func() { server.Close() })
	return limit, listener.Addr().String()
}

// ask sends a request over a new connection, which stays open until the test
// ends, and returns the status; 0 if the connection was closed instead.
func ask(t *testing.T, address, method string, header ...string) (status int, answer http.Header, conn net.Conn) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(longEnough))
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
	var log buffer
	limit, address := guardedServer(t, refusePlain, slog.New(slog.NewTextHandler(&log, nil)))
	_, _, first := ask(t, address, http.MethodGet)
	if status, _, _ := ask(t, address, http.MethodGet); status != http.StatusOK {
		t.Fatalf("the second connection: %d", status)
	}
	for _, c := range []struct {
		method, header string
		want           int
	}{
		{http.MethodPatch, "Content-Length: 0", http.StatusServiceUnavailable},
		{http.MethodPost, "Content-Length: 100000000", http.StatusServiceUnavailable},
		{http.MethodHead, "Tus-Resumable: 1.0.0", http.StatusLocked},
		{http.MethodHead, "Upload-Draft-Interop-Version: 6", http.StatusLocked},
		{http.MethodHead, "Upload-Draft-Interop-Version: 6\r\nUser-Agent: App/1 CFNetwork/1.0", http.StatusServiceUnavailable},
		{http.MethodHead, "Upload-Draft-Interop-Version: 8", http.StatusServiceUnavailable},
	} {
		status, header, conn := ask(t, address, c.method, c.header)
		if status != c.want || header.Get("Retry-After") == "" {
			t.Errorf("%s with %s: %d, %v; want %d", c.method, c.header, status, header, c.want)
		}
		if n, err := conn.Read(make([]byte, 1)); n > 0 || err != io.EOF {
			t.Errorf("%s: the connection stays open: %v", c.method, err)
		}
	}
	if n := limit.refused.Load(); n != 6 {
		t.Errorf("%d refusals counted, want 6", n)
	}
	if lines := log.String(); strings.Count(lines, "\n") != 1 || !strings.Contains(lines, "client=127.0.0.1/32") {
		t.Errorf("the log of a client that was refused: %s", lines)
	}
	first.Close()
	await(t, "a place", func() bool {
		status, _, _ := ask(t, address, http.MethodGet)
		return status == http.StatusOK
	})
}

// A refused client may not occupy the server instead.
func TestManyRefusals(t *testing.T) {
	limit, address := guardedServer(t, refusePlain, quiet)
	ask(t, address, http.MethodGet)
	ask(t, address, http.MethodGet)
	for range 3 * farewells { // silent ones, most of which are dropped at once
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
	}
	await(t, "all to be refused", func() bool { return limit.refused.Load() == 3*farewells })
	if status, _, _ := ask(t, address, http.MethodGet); status != 0 {
		t.Errorf("without a place for a refusal: %d, want the connection closed", status)
	}
}

func TestRefusalUnderTLS(t *testing.T) {
	_, address := guardedServer(t, refuseTLS, quiet)
	ask(t, address, http.MethodGet)
	ask(t, address, http.MethodGet)
	if status, _, _ := ask(t, address, http.MethodGet); status != 0 {
		t.Errorf("%d, want the connection closed", status)
	}
}

func TestWhoHasNoLimit(t *testing.T) {
	named := listening{trustedProxies: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32")}}
	for _, c := range []struct {
		l    listening
		addr string
		want bool
	}{
		{listening{}, "127.0.0.1", true},
		{listening{}, "::1", true},
		{listening{}, "10.1.2.3", true},
		{listening{}, "169.254.1.1", true},
		{listening{}, "fe80::1", true},
		{listening{}, "fd00::1", true},
		{listening{}, "203.0.113.7", false},
		{listening{}, "2001:db8::1", false},
		{listening{behindProxy: true}, "203.0.113.7", true},
		{named, "203.0.113.7", true},
		{named, "2001:db8::1", true},
		{named, "198.51.100.1", false},
		{named, "127.0.0.1", true},
		{named, "10.1.2.3", true},
	} {
		if got := c.l.mayBeProxy(netip.MustParseAddr(c.addr)); got != c.want {
			t.Errorf("%+v, %s: %t", c.l, c.addr, got)
		}
	}
}

func TestWhoIsOneClient(t *testing.T) {
	for addr, want := range map[string]string{
		"203.0.113.7":         "203.0.113.7/32",
		"2001:db8:1:2:3:4::1": "2001:db8:1:2::/64",
	} {
		if got := clientOf(netip.MustParseAddr(addr)); got.String() != want {
			t.Errorf("%s: %v, want %s", addr, got, want)
		}
	}
}
