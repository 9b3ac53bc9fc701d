package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// stalled is a log whose sink stands still, and the function that lets it go on
// and returns all that is written in the end.
func stalled(t *testing.T) (log *slog.Logger, queue *logQueue, release func() string) {
	t.Helper()
	sink := newGate()
	log, queue = startLog(sink, "text", false)
	log.Info("first")
	sink.await(t)
	return log, queue, func() string {
		close(sink.opened)
		mustClose(t, queue)
		return sink.content.String()
	}
}

const kilobyte = 1 << 10

var filler = strings.Repeat("x", kilobyte)

// A client that causes very many lines pushes out no lines of others: neither
// those of other clients, nor warnings, nor what is about no client.
func TestLogFloodKeepsOtherLines(t *testing.T) {
	for name, c := range map[string]struct{ flood, other func(i int) any }{
		"IPv4":            {func(int) any { return "203.0.113.7" }, func(int) any { return "203.0.113.8" }},
		"one /64":         {func(i int) any { return fmt.Sprintf("2001:db8::%x", i) }, func(int) any { return "2001:db8:0:1::1" }},
		"a prefix":        {func(int) any { return netip.MustParsePrefix("203.0.113.7/32") }, func(int) any { return "203.0.113.8" }},
		"beside a socket": {func(int) any { return "203.0.113.7" }, func(int) any { return "unix" }},
		"by a socket":     {func(int) any { return "unix" }, func(int) any { return "203.0.113.7" }},
		"ten addresses":   {func(i int) any { return fmt.Sprintf("203.0.113.%d", i%10) }, func(int) any { return "203.0.113.77" }},
	} {
		t.Run(name, func(t *testing.T) {
			log, queue, release := stalled(t)
			const lines = 2 * clientLogQueueSize / kilobyte
			for i := range lines {
				log.Info("flood", "i", i, "client", c.flood(i), "filler", filler)
				if i%1000 == 0 {
					log.Info("other", "client", c.other(i))
					log.Info("own")
					log.Warn("alarm", "client", c.other(i))
				}
			}
			lost := queue.dropped.Load()
			if lost == 0 || lost != queue.overShare.Load() {
				t.Fatalf("%d lines are lost, %d of them over a share: want the flood to lose lines, and nothing else", lost, queue.overShare.Load())
			}
			if n := cap(queue.pending); n > 2*clientLogQueueSize {
				t.Errorf("%d bytes are queued", n)
			}
			written := release()
			for _, msg := range []string{"other", "own", "alarm"} {
				if n := strings.Count(written, "msg="+msg); n != (lines+999)/1000 {
					t.Errorf("%d lines %q, want %d", n, msg, (lines+999)/1000)
				}
			}
			if n := strings.Count(written, "msg=flood"); n != lines-int(lost) {
				t.Errorf("%d lines of the flood, want all but the %d lost ones", n, lost)
			}
			if notice := fmt.Sprintf("lost=%d over_share=%d\n", lost, lost); !strings.HasSuffix(written, notice) || !strings.Contains(written, "level=INFO msg=\"log lines are missing") {
				t.Errorf("the end is %q, want a line of INFO with %s", written[max(0, len(written)-200):], notice)
			}
		})
	}
}

// A flood of warnings that a client causes leaves room for those of others.
func TestLogFloodOfWarnings(t *testing.T) {
	log, queue, release := stalled(t)
	for range 2 * logQueueSize / kilobyte {
		log.Warn("flood", "client", "203.0.113.7", "filler", filler)
	}
	log.Error("own fault")
	if queue.overShare.Load() == 0 {
		t.Error("nothing is lost")
	}
	if !strings.Contains(release(), "own fault") {
		t.Error("warnings about one client push out an error")
	}
}

// Very many clients take bounded memory, however long the sink stands still.
func TestLogFloodOfClients(t *testing.T) {
	log, queue, release := stalled(t)
	for i := range 100_000 {
		log.Info("flood", "client", netip.AddrFrom4([4]byte{203, byte(i >> 16), byte(i >> 8), byte(i)}).String(), "filler", filler[:100])
	}
	// A line has at least 100 bytes.
	if n, most := len(queue.uses), (clientLogQueueSize+logQueueSize)/100; n > most {
		t.Errorf("%d clients are remembered, want at most %d", n, most)
	}
	if n := len(queue.pending); n > clientLogQueueSize+logQueueSize {
		t.Errorf("%d bytes are queued", n)
	}
	release()
	if n := len(queue.uses); n > keptUses {
		t.Errorf("%d clients are remembered in the end", n)
	}
}

// While lines are lost, a line says so, once in lossInterval, also if no line
// comes any more.
func TestLogTellsOfLossesNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sink buffer
		_, queue := startLog(&sink, "text", false)
		tooLong := bytes.Repeat([]byte("x"), logQueueSize+1)
		for range 10 {
			queue.put(tooLong, logSource{room: ownRoom})
			synctest.Wait()
			time.Sleep(2 * logPause)
		}
		synctest.Wait()
		if n := strings.Count(sink.String(), "lost="); n != 1 {
			t.Errorf("%d lines about losses at once, want 1: %s", n, sink.String())
		}
		time.Sleep(lossInterval)
		synctest.Wait()
		if lines := sink.String(); strings.Count(lines, "lost=") != 2 || !strings.Contains(lines, "lost=9 ") {
			t.Errorf("lines about losses: %s, want a second one, about 9", lines)
		}
		mustClose(t, queue)
	})
}

// What a terminal acts on does not reach the log.
func TestLogIsPlainText(t *testing.T) {
	const given = "a\x1b[2J\u009b31m\x7f\u202e\u2028\U000e0001\xff日本é\\u0041\"\n"
	for _, format := range []string{"text", "json"} {
		var sink bytes.Buffer
		log, queue := startLog(&sink, format, false)
		log.Info(given, "path", given)
		mustClose(t, queue)
		line := sink.String()
		for _, bad := range []string{"\x1b", "\u009b", "\u202e", "\u2028", "\U000e0001", "\xff"} {
			if strings.Contains(line, bad) {
				t.Errorf("%s: %q has %q", format, line, bad)
			}
		}
		if strings.Count(line, "\n") != 1 || !strings.Contains(line, "日本é") {
			t.Errorf("%s: %q", format, line)
		}
		if format == jsonFormat {
			var read struct{ Msg, Path string }
			if err := json.Unmarshal([]byte(line), &read); err != nil || read.Path != strings.ToValidUTF8(given, "\ufffd") || read.Msg != read.Path {
				t.Errorf("%s is read as %q (%v)", line, read, err)
			}
		}
	}
}

// What net/http tells of clients is information, with the client; what it tells
// of the server is more.
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
		newServerLog(log).Println(text)
		mustClose(t, queue)
		var line struct{ Level, Client string }
		if err := json.Unmarshal(sink.Bytes(), &line); err != nil || line.Level+" "+line.Client != want || sink.Len() > 4*kilobyte {
			t.Errorf("%.80s: %+v, %v, %d bytes; want %s", text, line, err, sink.Len(), want)
		}
	}
}

// Clients that do not speak TLS, or not HTTP, write no warnings.
func TestNonsenseIsNoAlarm(t *testing.T) {
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
