package cli

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestOpenConnectionsAreCounted(t *testing.T) {
	var connections openConnections
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ConnState = connections.follow
	server.Start()
	defer server.Close()
	answer, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, answer.Body) // unread content would end the connection
	if n := connections.count(); n != 1 {
		t.Errorf("%d connections are open, want 1", n)
	}
	server.Client().CloseIdleConnections()
	for deadline := time.Now().Add(testTimeout); connections.count() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are open, want none", connections.count())
		}
	}
}

// A shutdown does not wait for connections without a request. net/http alone would wait
// five seconds for them, which is longer than the timeout here.
func TestShutdownWithSilentConnections(t *testing.T) {
	t.Parallel()
	p := newPair(t, t.TempDir(), "a")
	for _, c := range []struct {
		name   string
		silent []string // what each of them sends
		flags  []string
	}{
		{"plain", []string{"", "HEAD /files/x HTTP/1.1\r\nHost:"}, nil},
		{"h2c", []string{"", "PRI * HTTP/2.0\r\n"}, []string{"-enable-h2c"}},
		{"TLS", []string{"", "\x16\x03\x01\x01"}, []string{"-tls-certificate", p.cert, "-tls-key", p.key}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := start(t, append(c.flags, "-shutdown-timeout", "4s", "-admin-listen", "127.0.0.1:0")...)
			open := len(c.silent)
			for _, sent := range c.silent {
				openConnection(t, d.address(t), sent)
			}
			if c.name == "TLS" {
				openTLSConnection(t, d.address(t))
				open++
			}
			awaitConnections(t, d, open)
			d.end(t)
			if log := d.stdout.String(); strings.Contains(log, "are cut") || !strings.Contains(log, "stopped") {
				t.Errorf("the shutdown took too long: %s", log)
			}
		})
	}
}

// openConnection opens a connection, sends text and keeps it open.
func openConnection(t *testing.T, address, text string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err == nil {
		_, err = io.WriteString(conn, text)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
}

func openTLSConnection(t *testing.T, address string) {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
}

// awaitConnections waits until the daemon has accepted n connections.
func awaitConnections(t *testing.T, d *testDaemon, n int) {
	t.Helper()
	want := fmt.Sprintf("\ntusd_connections_open %d\n", n)
	await(t, "connections to be accepted", func() bool {
		_, metrics := fetch(t, adminURL(t, d)+"/metrics")
		return strings.Contains(metrics, want)
	})
}
