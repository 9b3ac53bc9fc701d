package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"strings"
	"testing"
)

// Messages of net/http about clients are logged at INFO, with the client. Messages
// about the server have a higher level.
func TestServerLog(t *testing.T) {
	for text, want := range map[string]string{
		"http: TLS handshake error from 203.0.113.7:1234: EOF":                                                   "INFO 203.0.113.7",
		"http: TLS handshake error from [2001:db8::1%eth0]:1234: remote error: tls: bad certificate":             "INFO 2001:db8::1",
		"http: TLS handshake error from @: EOF":                                                                  "INFO ",
		"http2: server connection error from 203.0.113.7:1234: connection error: PROTOCOL_ERROR":                 "INFO 203.0.113.7",
		"http2: server: error reading preface from client 203.0.113.7:1234: bogus greeting":                      "INFO 203.0.113.7",
		"timeout waiting for SETTINGS frames from 203.0.113.7:1234":                                              "INFO 203.0.113.7",
		"http2: received GOAWAY [FrameHeader GOAWAY len=8], starting graceful shutdown":                          "INFO ",
		"http: panic serving 203.0.113.7:1234: boom\ngoroutine 1 [running]:":                                     "ERROR 203.0.113.7",
		"http2: panic serving 203.0.113.7:1234: boom\ngoroutine 1 [running]:":                                    "ERROR 203.0.113.7",
		"http: Accept error: accept tcp 127.0.0.1:1: accept4: too many open files; retrying in 5ms":              "WARN ",
		"http: superfluous response.WriteHeader call from main.main (main.go:1)":                                 "WARN ",
		"http: TLS handshake error from 203.0.113.7:1: tls: client offered " + strings.Repeat("x", 100*kilobyte): "INFO 203.0.113.7",
	} {
		var sink bytes.Buffer
		log, queue := startLog(&sink, jsonFormat, false)
		newHTTPServerLog(log).Println(text)
		mustClose(t, queue)
		var line struct{ Level, Client string }
		if err := json.Unmarshal(sink.Bytes(), &line); err != nil || line.Level+" "+line.Client != want || sink.Len() > 4*kilobyte {
			t.Errorf("%.80s: %+v, %v, %d bytes; want %s", text, line, err, sink.Len(), want)
		}
	}
}

// Clients that do not speak TLS or HTTP cause no warnings.
func TestInvalidClientsCauseNoWarning(t *testing.T) {
	t.Parallel()
	p := newPair(t, t.TempDir(), "a")
	for name, flags := range map[string][]string{"TLS": {"-tls-certificate", p.cert, "-tls-key", p.key}, "plain": {"-enable-h2c"}} {
		t.Run(name, func(t *testing.T) {
			d := start(t, flags...)
			for _, nonsense := range []string{
				"\x00\x01\x02\xff nonsense\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/9.9\r\nHost: h\r\n\r\n",
				"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + strings.Repeat("\xff", 64), "\x16\x03\x01\x00\x05hello",
			} {
				conn, err := net.Dial("tcp", strings.TrimPrefix(strings.TrimPrefix(strings.TrimSuffix(d.url, "/files/"), "http://"), "https://"))
				if err != nil {
					t.Fatal(err)
				}
				io.WriteString(conn, nonsense)
				conn.(*net.TCPConn).CloseWrite()
				io.Copy(io.Discard, conn)
				conn.Close()
			}
			d.end(t)
			if out := d.stdout.String(); strings.Contains(out, "WARN") || strings.Contains(out, "ERROR") {
				t.Errorf("logged: %s", out)
			}
		})
	}
}
