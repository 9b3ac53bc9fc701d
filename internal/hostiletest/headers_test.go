//go:build linux

package hostiletest

import (
	"io"
	"net"
	"slices"
	"strings"
	"time"
)

// bomb is a header that can take far more memory than its bytes when it is parsed.
type bomb struct {
	name   string
	method string
	lines  []string // all but the large one
	header string
	piece  string // repeated in the value of header
	begin  string // before the first piece
}

// bombs has one bomb for each header that is parsed.
var bombs = []bomb{
	{name: "Forwarded", method: "HEAD", header: "Forwarded", piece: "=,"},
	{name: "Forwarded with names", method: "HEAD", header: "Forwarded", piece: "for=1,"},
	{name: "X-Forwarded-For", method: "HEAD", header: "X-Forwarded-For", piece: "1,"},
	{name: "X-Forwarded-Host", method: "POST", lines: []string{"Upload-Length: 1"}, header: "X-Forwarded-Host", piece: "a,"},
	{name: "X-Forwarded-Proto", method: "POST", lines: []string{"Upload-Length: 1"}, header: "X-Forwarded-Proto", piece: "h,"},
	{name: "Upload-Concat", method: "POST", header: "Upload-Concat", begin: "final;", piece: "a "},
	{name: "Upload-Concat with paths", method: "POST", header: "Upload-Concat", begin: "final;", piece: "/files/a "},
	{name: "Upload-Metadata", method: "POST", lines: []string{"Upload-Length: 1"}, header: "Upload-Metadata", piece: "a,"},
	{name: "Repr-Digest", method: "POST", lines: []string{"Upload-Length: 1", "Upload-Complete: ?0", "Upload-Draft-Interop-Version: 9"}, header: "Repr-Digest", piece: "a=:AA==:,"},
	{name: "Content-Digest", method: "POST", lines: []string{"Upload-Length: 1", "Upload-Complete: ?0", "Upload-Draft-Interop-Version: 9"}, header: "Content-Digest", piece: "a=:AA==:,"},
	{name: "Want-Repr-Digest", method: "HEAD", header: "Want-Repr-Digest", piece: "a=1,"},
	{name: "Upload-Complete", method: "POST", lines: []string{"Upload-Draft-Interop-Version: 9"}, header: "Upload-Complete", begin: "?1", piece: ";a"},
	{name: "Upload-Checksum", method: "PATCH", lines: []string{"Upload-Offset: 0", offsetStream}, header: "Upload-Checksum", piece: "a "},
	{name: "Range", method: "GET", header: "Range", begin: "bytes=", piece: "0-0,"},
	{name: "If-None-Match", method: "GET", header: "If-None-Match", piece: `"",`},
	{name: "If-Range", method: "GET", header: "If-Range", piece: `"",`},
	{name: "X-HTTP-Method-Override", method: "POST", header: "X-HTTP-Method-Override", piece: "A,"},
	{name: "Tus-Resumable", method: "HEAD", header: "Tus-Resumable", piece: "1,"},
	{name: "Access-Control-Request-Headers", method: "OPTIONS", lines: []string{"Origin: http://a", "Access-Control-Request-Method: POST"}, header: "Access-Control-Request-Headers", piece: "a,"},
	{name: "Accept-Encoding", method: "GET", header: "Accept-Encoding", piece: "a,"},
	{name: "Connection", method: "HEAD", header: "Connection", piece: "a,"},
	{name: "Expect", method: "PATCH", header: "Expect", piece: "a,"},
	{name: "many names", method: "HEAD", header: "A", piece: "\r\nA:"},
}

// bombSize is near the largest header that is accepted.
const bombSize = 248 << 10

// path is the path of the request with the bomb.
func (b bomb) path() string {
	switch b.method {
	case "POST", "OPTIONS":
		return uploads
	}
	return uploads + "0123456789abcdef0123456789abcdef"
}

// A burst is 30 bombs of four kinds at the same time: 120 heads near the limit.
const (
	bombsPerKind  = 30
	kindsPerBurst = 4
)

// bombsOverHTTP1 sends bursts of all kinds over HTTP/1.1, each head on its own
// connection.
func bombsOverHTTP1(a *attacker) error {
	return a.loop(func() error {
		paced := a.pace(200) // 400 Mbit/s
		for some := range slices.Chunk(bombs, kindsPerBurst) {
			if err := burst(a, paced, some); err != nil {
				return err
			}
		}
		a.markReady()
		return nil
	})
}

// burst sends all heads without their last bytes, and then the last bytes.
func burst(a *attacker, paced *pace, some []bomb) error {
	type pendingHead struct {
		conn net.Conn
		end  string
	}
	var pending []pendingHead
	defer func() {
		for _, c := range pending {
			a.close(c.conn)
		}
	}()
	for _, b := range some {
		value := b.begin + strings.Repeat(b.piece, bombSize/len(b.piece))
		text := a.head(b.method, b.path(), append(b.lines, b.header+": "+value, "Content-Length: 0")...)
		cut := len(text) - 100
		for i := 0; i < bombsPerKind && paced.step(); i++ {
			conn, err := a.sendText(text[:cut])
			if err != nil {
				return err
			}
			pending = append(pending, pendingHead{conn, text[cut:]})
		}
	}
	for _, c := range pending {
		_, _ = io.WriteString(c.conn, c.end)
	}
	for _, c := range pending {
		c.conn.SetReadDeadline(time.Now().Add(waitTimeout))
		io.Copy(io.Discard, io.LimitReader(c.conn, 12)) // the status line
	}
	return nil
}

// bombsOverHTTP2 sends bursts over HTTP/2 connections, one burst on each. A field of
// 4 KiB is sent once and then repeated by references to the HPACK table.
func bombsOverHTTP2(a *attacker) error {
	allowed := slices.DeleteFunc(slices.Clone(bombs), func(b bomb) bool { return b.name == "many names" || b.name == "Connection" })
	return a.loop(func() error {
		for some := range slices.Chunk(allowed, kindsPerBurst) {
			if err := burstHTTP2(a, some); err != nil {
				return err
			}
		}
		a.markReady()
		return nil
	})
}

func burstHTTP2(a *attacker, some []bomb) error {
	c, err := a.dialHTTP2(http2Options{updateWindows: true})
	if err != nil {
		return err
	}
	defer a.close(c.conn)
	n := int64(0)
	for _, b := range some {
		lines := append([]string{}, b.lines...)
		if b.begin != "" {
			lines = append(lines, b.header+": "+b.begin+strings.Repeat(b.piece, 100))
		}
		piece := b.header + ": " + strings.Repeat(b.piece, 3900/len(b.piece))
		lines = append(lines, slices.Repeat([]string{piece}, bombSize/4000)...)
		for range bombsPerKind {
			if _, err := c.openStream(b.method, b.path(), true, lines...); err != nil {
				return nil // the server has closed the connection
			}
			n++
		}
	}
	if err := c.flush(); err != nil {
		return nil
	}
	for c.answers.Load() < n && !c.ended() && !a.stopped() {
		a.sleep(10 * time.Millisecond)
	}
	return nil
}

func headerAttacks() []attack {
	return []attack{
		{"headers over HTTP/1.1", bombsOverHTTP1, 3500 * time.Millisecond},
		{"headers over HTTP/2", bombsOverHTTP2, time.Second},
	}
}
