//go:build linux

package hostiletest

import (
	"io"
	"net"
	"slices"
	"strings"
	"time"
)

// bomb is a header that becomes more than its bytes when it is parsed.
type bomb struct {
	name   string
	method string
	lines  []string // all but the last
	header string
	piece  string // repeated in the value of header
	begin  string // before the first piece
}

// bombs are one for each header that is parsed.
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

// bombSize is near the largest header that is taken.
const bombSize = 248 << 10

// path is where the bomb goes.
func (b bomb) path() string {
	switch b.method {
	case "POST", "OPTIONS":
		return uploads
	}
	return uploads + "0123456789abcdef0123456789abcdef"
}

// over1 sends 120 of them at a time, each on a connection of its own.
func over1(bombs []bomb) func(*arena) error {
	return func(a *arena) error {
		return a.again(func() error {
			conns := make([]net.Conn, 120)
			defer func() {
				for _, conn := range conns {
					if conn != nil {
						a.drop(conn)
					}
				}
			}()
			const late = 100     // bytes, that come when the others have come of all
			paced := a.pace(200) // 400 Mbit/s
			for i := range conns {
				paced.step()
				text := bombs[i%len(bombs)].text(a)
				conn, err := a.say(text[:len(text)-late])
				if err != nil {
					return err
				}
				conns[i] = conn
			}
			for i, conn := range conns {
				text := bombs[i%len(bombs)].text(a)
				_, _ = io.WriteString(conn, text[len(text)-late:])
			}
			for _, conn := range conns {
				conn.SetReadDeadline(time.Now().Add(patience))
				io.Copy(io.Discard, io.LimitReader(conn, 12)) // the status line
			}
			return nil
		})
	}
}

// text is a request of HTTP/1.1 with it.
func (b bomb) text(a *arena) string {
	value := b.begin + strings.Repeat(b.piece, bombSize/len(b.piece))
	return a.head(b.method, b.path(), append(b.lines[:len(b.lines):len(b.lines)], b.header+": "+value, "Content-Length: 0")...)
}

// over2 sends 120 of them on one connection, by fields that the two sides
// remember: a KiB on the wire is a value of 4 KiB many times.
func over2(bombs []bomb) func(*arena) error {
	return func(a *arena) error {
		return a.again(func() error {
			c, err := a.frames(framing{refill: true})
			if err != nil {
				return err
			}
			defer a.drop(c.conn)
			n := 120
			for i := range n {
				b := bombs[i%len(bombs)]
				if _, err := c.open(b.method, b.path(), true, b.fields()...); err != nil {
					return err
				}
			}
			if err := c.flush(); err != nil {
				return err
			}
			// A server that has enough of it ends the connection.
			for c.answers.Load() < int64(n) && !c.ended() && !a.over() {
				a.rest(10 * time.Millisecond)
			}
			return nil
		})
	}
}

// fields are those of a request of HTTP/2 with it.
func (b bomb) fields() []string {
	lines := slices.Clone(b.lines)
	if b.begin != "" {
		lines = append(lines, b.header+": "+b.begin+strings.Repeat(b.piece, 100))
	}
	piece := b.header + ": " + strings.Repeat(b.piece, 3900/len(b.piece))
	for range bombSize / 4000 {
		lines = append(lines, piece)
	}
	return lines
}

// headerAttacks are the worst one, and all by turns.
func headerAttacks() []attack {
	over2Too := slices.DeleteFunc(slices.Clone(bombs), func(b bomb) bool { return b.name == "many names" || b.name == "Connection" })
	return []attack{
		{"HTTP1 Forwarded", over1(bombs[:1])}, {"HTTP1 all headers", over1(bombs)},
		{"HTTP2 Forwarded", over2(bombs[:1])}, {"HTTP2 all headers", over2(over2Too)},
	}
}
