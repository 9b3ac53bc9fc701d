//go:build linux

package hostiletest

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

// flood sends frames over an HTTP/2 connection until the server closes it, and then over
// the next one.
func flood(perSecond int, f http2Options, begin func(*attacker, *http2Conn) error, step func(c *http2Conn, i int) error) func(*attacker) error {
	return func(a *attacker) error {
		paced := a.pace(perSecond)
		time.AfterFunc(300*time.Millisecond, a.markReady)
		return a.loop(func() error {
			c, err := a.dialHTTP2(f)
			if err != nil {
				return err
			}
			defer a.close(c.conn)
			if begin != nil {
				if err := begin(a, c); err != nil {
					return err
				}
			}
			for i := 0; paced.step(); i++ {
				c.mu.Lock()
				err := step(c, i)
				if err == nil && i%16 == 15 {
					err = c.out.Flush()
				}
				c.mu.Unlock()
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// openStreamLocked opens a stream. The caller holds c.mu.
func (c *http2Conn) openStreamLocked(method, path string, end bool, lines ...string) (uint32, error) {
	id := c.next
	c.next += 2
	return id, c.writeHeaderBlock(id, c.encodeHead(method, path, lines), end)
}

// rapidReset sends the requests in turn and resets each stream immediately.
func rapidReset(requests ...http2Request) func(*attacker) error {
	return flood(5000, http2Options{updateWindows: true}, nil, func(c *http2Conn, i int) error {
		r := requests[i%len(requests)]
		id, err := c.openStreamLocked(r.method, r.path, r.end, r.lines...)
		if err != nil {
			return err
		}
		return c.WriteRSTStream(id, http2.ErrCodeCancel)
	})
}

// http2Request is a request. If end is set, it has no body.
type http2Request struct {
	method, path string
	end          bool
	lines        []string
}

// resetUpload resets PATCHes of one upload after their first byte.
func resetUpload(a *attacker) error {
	path, err := a.create(1 << 30)
	if err != nil {
		return err
	}
	return flood(1000, http2Options{}, nil, func(c *http2Conn, _ int) error {
		id, err := c.openStreamLocked("PATCH", path, false, "Upload-Offset: 0", offsetStream)
		if err != nil {
			return err
		}
		if err := c.WriteData(id, false, []byte("x")); err != nil {
			return err
		}
		return c.WriteRSTStream(id, http2.ErrCodeCancel)
	})(a)
}

// openPatch opens stream 1 for the frames of a flood.
func openPatch(a *attacker, c *http2Conn) error {
	path, err := a.create(1 << 30)
	if err != nil {
		return err
	}
	_, err = c.openStreamAndFlush("PATCH", path, false, "Upload-Offset: 0", offsetStream)
	return err
}

// openHead begins a header block on stream 1 for the frames of a flood.
func openHead(_ *attacker, c *http2Conn) error {
	return c.writeAndFlush(func() error {
		return c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.encodeHead("HEAD", uploads, nil)})
	})
}

// controlFrames are floods of SETTINGS and PING.
func controlFrames(f http2Options) func(*attacker) error {
	return combine(
		flood(25000, f, nil, func(c *http2Conn, _ int) error {
			return c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 65535})
		}),
		flood(25000, f, nil, func(c *http2Conn, _ int) error { return c.WritePing(false, [8]byte{}) }),
	)
}

// smallDataFrames are floods of DATA frames with one byte or none.
func smallDataFrames() func(*attacker) error {
	const fast = 16000
	return combine(
		flood(fast, http2Options{}, openPatch, func(c *http2Conn, _ int) error { return c.WriteData(1, false, nil) }),
		flood(fast, http2Options{}, openPatch, func(c *http2Conn, _ int) error {
			return c.WriteDataPadded(1, false, []byte("x"), make([]byte, 255))
		}),
		flood(fast, http2Options{}, openPatch, func(c *http2Conn, _ int) error { return c.WriteData(1, false, []byte("x")) }),
	)
}

// endlessHeaders are floods of CONTINUATION frames, and of trailers.
func endlessHeaders() func(*attacker) error {
	const fast = 16000
	return combine(
		flood(fast, http2Options{}, openHead, func(c *http2Conn, _ int) error {
			c.block.Reset()
			c.encodeField("x-a", strings.Repeat("x", 1000))
			return c.WriteContinuation(1, false, c.block.Bytes())
		}),
		flood(fast, http2Options{}, openHead, func(c *http2Conn, _ int) error { return c.WriteContinuation(1, false, nil) }),
		flood(fast, http2Options{}, nil, func(c *http2Conn, _ int) error {
			id, err := c.openStreamLocked("PATCH", uploads+"unknown", false, "Upload-Offset: 0", offsetStream)
			if err != nil {
				return err
			}
			c.block.Reset()
			c.encodeField("x-a", strings.Repeat("x", 1000))
			return c.writeHeaderBlock(id, c.block.Bytes(), true)
		}),
	)
}

// ignoredFrames are floods of frames that change nothing.
func ignoredFrames() func(*attacker) error {
	const fast = 16000
	return combine(
		flood(fast, http2Options{}, nil, func(c *http2Conn, i int) error {
			return c.WritePriority(uint32(2*i+1), http2.PriorityParam{StreamDep: uint32(2*i + 3), Weight: 255})
		}),
		flood(fast, http2Options{}, openPatch, func(c *http2Conn, i int) error { return c.WriteWindowUpdate(uint32(i%2), 1) }),
		flood(fast, http2Options{}, nil, func(c *http2Conn, _ int) error { return c.WriteRawFrame(0x77, 0, 0, make([]byte, 100)) }),
	)
}

// shortConnections opens connections, each kind in turn, and closes them at once.
func shortConnections(perSecond int, open ...func(*attacker) (net.Conn, error)) func(*attacker) error {
	return func(a *attacker) error {
		time.AfterFunc(300*time.Millisecond, a.markReady)
		for paced := a.pace(perSecond); paced.step(); {
			if conn, err := open[paced.steps%len(open)](a); err == nil {
				a.close(conn)
			}
		}
		return nil
	}
}

func frameFloods() []attack {
	return []attack{
		{name: "rapid reset of metrics", run: rapidReset(http2Request{"GET", "/metrics", true, nil})},
		{name: "rapid reset of profiles", run: rapidReset(http2Request{"GET", "/debug/pprof/goroutine?debug=2", true, nil})},
		{name: "rapid reset of the rest", run: rapidReset(
			http2Request{"GET", "/", true, nil},
			http2Request{"HEAD", uploads + "unknown", true, nil},
			http2Request{"GET", uploads + "unknown", true, nil},
			http2Request{"OPTIONS", uploads, true, nil},
			http2Request{"POST", uploads, false, []string{"Upload-Length: 5", offsetStream}},
			http2Request{"POST", uploads, false, []string{"Upload-Length: x"}},
		)},
		{name: "a header block that expands", run: hpackBomb},
		{name: "SETTINGS and PING", run: controlFrames(http2Options{})},
		{name: "SETTINGS and PING, unread answers", run: controlFrames(http2Options{noReads: true, receiveBuffer: 4096})},
		{name: "small DATA frames", run: smallDataFrames()},
		{name: "headers that do not end", run: endlessHeaders()},
		{name: "frames that change nothing", run: ignoredFrames()},
		{name: "short connections", run: shortConnections(1000,
			func(a *attacker) (net.Conn, error) { return a.dial() },
			onHTTP2(func(*attacker, *http2Conn) error { return nil }))},
	}
}

// requestFlood sends requests over one HTTP/1 connection after another, each kind in
// turn. It does not wait for answers, which are read and discarded.
func requestFlood(perSecond int, kinds ...func(a *attacker, i int) string) func(*attacker) error {
	return func(a *attacker) error {
		paced := a.pace(perSecond)
		time.AfterFunc(300*time.Millisecond, a.markReady)
		i := 0
		return a.loop(func() error {
			conn, err := a.dial()
			if err != nil {
				return err
			}
			defer a.close(conn)
			go io.Copy(io.Discard, conn)
			for paced.step() {
				i++
				if _, err := io.WriteString(conn, kinds[i%len(kinds)](a, i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// unknownIDs requests ids that do not exist with all methods and with a query of size
// bytes.
func unknownIDs(size int) func(*attacker) error {
	const workers, n = 4, 1000
	methods := []string{"HEAD", "GET", "DELETE", "PATCH"}
	query := strings.Repeat("q", size)
	return func(a *attacker) error {
		var sent atomic.Int64
		return a.parallel(workers, func(int) error {
			return a.loop(func() error {
				conn, err := a.dial()
				if err != nil {
					return err
				}
				defer a.close(conn)
				for !a.stopped() {
					i := sent.Add(1)
					if i > n {
						return a.waitForEnd()
					}
					method := methods[i%int64(len(methods))]
					head := a.head(method, fmt.Sprintf("%s%032x?%s", uploads, i, query), "Upload-Offset: 0", offsetStream, "Content-Length: 0")
					if _, err := roundTrip(conn, method, head); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
}

// unreadInterim runs uploads of the IETF draft whose clients do not read interim
// responses.
func unreadInterim(a *attacker) error {
	conns := make([]net.Conn, 100)
	for i := range conns {
		conn, err := a.dialSmall(4096)
		if err != nil {
			return err
		}
		io.WriteString(conn, draftHead("POST", a.Address, uploads, "Upload-Complete: ?0", "Content-Length: 1000000000"))
		conns[i] = conn
	}
	paced := a.pace(2000)
	content := make([]byte, 16<<10)
	time.AfterFunc(time.Second, a.markReady)
	for i := 0; paced.step(); i++ {
		conn := conns[i%len(conns)]
		conn.SetWriteDeadline(time.Now().Add(time.Millisecond))
		conn.Write(content)
	}
	return nil
}

// slowBodies sends 1000 uploads at one byte per second, each on its own connection.
func slowBodies(a *attacker) error {
	conns := make([]net.Conn, 1000)
	err := a.parallel(len(conns), func(i int) (err error) {
		conns[i], err = sendingPatch("Content-Length: 10000\r\n\r\n")(a)
		return err
	})
	if err != nil {
		return err
	}
	a.markReady()
	for paced := a.pace(len(conns)); paced.step(); {
		conns[paced.steps%len(conns)].Write([]byte("x"))
	}
	return nil
}

// lockWaiters sends requests that wait for the lock of one upload.
func lockWaiters(a *attacker) error {
	path, err := a.create(10000)
	if err != nil {
		return err
	}
	return a.parallel(500, func(i int) error {
		if _, err := a.sendText(a.head("PATCH", path, "Upload-Offset: 0", offsetStream, "Content-Length: 10000") + "x"); err != nil {
			return err
		}
		if i == 500-1 {
			return a.waitForEnd()
		}
		return nil
	})
}

// wrongChecksums sends 1000 chunks with a wrong checksum per second.
func wrongChecksums(a *attacker) error {
	path, err := a.create(1 << 30)
	if err != nil {
		return err
	}
	return requestFlood(1000, func(a *attacker, _ int) string {
		return a.head("PATCH", path, "Upload-Offset: 0", offsetStream, "Upload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", "Content-Length: 5") + "hallo"
	})(a)
}

// storingFloods are the floods that reach the store.
func storingFloods() []attack {
	return []attack{
		{name: "unknown ids with long queries", run: unknownIDs(240000)}, // near the limit of a head
		{name: "unknown ids", run: unknownIDs(1)},
		{name: "creations", run: requestFlood(1000,
			func(a *attacker, _ int) string {
				return a.head("POST", uploads, "Upload-Defer-Length: 1", "Content-Length: 0")
			},
			func(a *attacker, _ int) string {
				return a.head("POST", uploads, "Upload-Length: 0", "Content-Length: 0")
			},
			func(a *attacker, _ int) string {
				return draftHead("POST", a.Address, uploads, "Upload-Complete: ?0", "Content-Length: 1") + "x"
			},
		)},
		{name: "checksummed chunks", run: wrongChecksums},
		{name: "slow bodies", run: slowBodies},
		{name: "waiting for one lock", run: lockWaiters},
		{name: "unread interim answers", run: unreadInterim},
		{name: "rapid reset of PATCH", run: resetUpload},
	}
}

// otherFloods are the floods that do not reach the store.
func otherFloods() []attack {
	long := strings.Repeat("p", 200<<10)
	return []attack{
		{name: "long request lines", run: requestFlood(300,
			func(a *attacker, _ int) string { return a.head("HEAD", "/"+long) },
			func(a *attacker, _ int) string { return a.head("HEAD", uploads+long) },
			func(a *attacker, _ int) string { return a.head(long, uploads, "Content-Length: 0") },
		)},
		{name: "pipelined requests", run: combine(
			requestFlood(5000, func(a *attacker, _ int) string { return a.head("HEAD", uploads+"unknown") }),
			requestFlood(500, func(a *attacker, _ int) string { return a.head("GET", "/metrics") }),
		)},
	}
}

// hpackBomb sends header blocks whose fields are references to one long field in the
// HPACK table: a few bytes on the wire for each KiB.
func hpackBomb(a *attacker) error {
	line := "X-A: " + strings.Repeat("x", 4000)
	lines := make([]string, 1000)
	for i := range lines {
		lines[i] = line
	}
	return flood(500, http2Options{}, nil, func(c *http2Conn, _ int) error {
		_, err := c.openStreamLocked("HEAD", uploads, true, lines...)
		return err
	})(a)
}
