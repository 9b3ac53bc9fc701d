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
func flood(perSecond int, f framing, begin func(*arena, *frames) error, step func(c *frames, i int) error) func(*arena) error {
	return func(a *arena) error {
		paced := a.pace(perSecond)
		time.AfterFunc(300*time.Millisecond, a.set)
		return a.again(func() error {
			c, err := a.frames(f)
			if err != nil {
				return err
			}
			defer a.drop(c.conn)
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
func (c *frames) request(method, path string, end bool, lines ...string) (uint32, error) {
	id := c.next
	c.next += 2
	return id, c.send(id, c.encode(method, path, lines), end)
}

// rapidReset sends the requests in turn and resets each stream immediately.
func reset(requests ...wanted) func(*arena) error {
	return flood(5000, framing{refill: true}, nil, func(c *frames, i int) error {
		r := requests[i%len(requests)]
		id, err := c.request(r.method, r.path, r.end, r.lines...)
		if err != nil {
			return err
		}
		return c.WriteRSTStream(id, http2.ErrCodeCancel)
	})
}

// http2Request is a request. If end is set, it has no body.
type wanted struct {
	method, path string
	end          bool
	lines        []string
}

// resetUpload resets PATCHes of one upload after their first byte.
func resetUpload(a *arena) error {
	path, err := a.create(1 << 30)
	if err != nil {
		return err
	}
	return flood(1000, framing{}, nil, func(c *frames, _ int) error {
		id, err := c.request("PATCH", path, false, "Upload-Offset: 0", offsetStream)
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
func openPatch(a *arena, c *frames) error {
	path, err := a.create(1 << 30)
	if err != nil {
		return err
	}
	_, err = c.opened("PATCH", path, false, "Upload-Offset: 0", offsetStream)
	return err
}

// openHead begins a header block on stream 1 for the frames of a flood.
func openHead(_ *arena, c *frames) error {
	return c.write(func() error {
		return c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.encode("HEAD", uploads, nil)})
	})
}

// controlFrames are floods of SETTINGS and PING.
func controls(f framing) func(*arena) error {
	return together(
		flood(25000, f, nil, func(c *frames, _ int) error {
			return c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 65535})
		}),
		flood(25000, f, nil, func(c *frames, _ int) error { return c.WritePing(false, [8]byte{}) }),
	)
}

// smallDataFrames are floods of DATA frames with one byte or none.
func content() func(*arena) error {
	const fast = 16000
	return together(
		flood(fast, framing{}, openPatch, func(c *frames, _ int) error { return c.WriteData(1, false, nil) }),
		flood(fast, framing{}, openPatch, func(c *frames, _ int) error {
			return c.WriteDataPadded(1, false, []byte("x"), make([]byte, 255))
		}),
		flood(fast, framing{}, openPatch, func(c *frames, _ int) error { return c.WriteData(1, false, []byte("x")) }),
	)
}

// endlessHeaders are floods of CONTINUATION frames, and of trailers.
func continuations() func(*arena) error {
	const fast = 16000
	return together(
		flood(fast, framing{}, openHead, func(c *frames, _ int) error {
			c.block.Reset()
			c.encodeField("x-a", strings.Repeat("x", 1000))
			return c.WriteContinuation(1, false, c.block.Bytes())
		}),
		flood(fast, framing{}, openHead, func(c *frames, _ int) error { return c.WriteContinuation(1, false, nil) }),
		flood(fast, framing{}, nil, func(c *frames, _ int) error {
			id, err := c.request("PATCH", uploads+"unknown", false, "Upload-Offset: 0", offsetStream)
			if err != nil {
				return err
			}
			c.block.Reset()
			c.encodeField("x-a", strings.Repeat("x", 1000))
			return c.send(id, c.block.Bytes(), true)
		}),
	)
}

// ignoredFrames are floods of frames that change nothing.
func ignored() func(*arena) error {
	const fast = 16000
	return together(
		flood(fast, framing{}, nil, func(c *frames, i int) error {
			return c.WritePriority(uint32(2*i+1), http2.PriorityParam{StreamDep: uint32(2*i + 3), Weight: 255})
		}),
		flood(fast, framing{}, openPatch, func(c *frames, i int) error { return c.WriteWindowUpdate(uint32(i%2), 1) }),
		flood(fast, framing{}, nil, func(c *frames, _ int) error { return c.WriteRawFrame(0x77, 0, 0, make([]byte, 100)) }),
	)
}

// shortConnections opens connections, each kind in turn, and closes them at once.
func visits(perSecond int, open ...func(*arena) (net.Conn, error)) func(*arena) error {
	return func(a *arena) error {
		time.AfterFunc(300*time.Millisecond, a.set)
		for paced := a.pace(perSecond); paced.step(); {
			if conn, err := open[paced.steps%len(open)](a); err == nil {
				a.drop(conn)
			}
		}
		return nil
	}
}

func frameFloods() []attack {
	return []attack{
		{name: "rapid reset of metrics", run: reset(wanted{"GET", "/metrics", true, nil})},
		{name: "rapid reset of profiles", run: reset(wanted{"GET", "/debug/pprof/goroutine?debug=2", true, nil})},
		{name: "rapid reset of the rest", run: reset(
			wanted{"GET", "/", true, nil},
			wanted{"HEAD", uploads + "unknown", true, nil},
			wanted{"GET", uploads + "unknown", true, nil},
			wanted{"OPTIONS", uploads, true, nil},
			wanted{"POST", uploads, false, []string{"Upload-Length: 5", offsetStream}},
			wanted{"POST", uploads, false, []string{"Upload-Length: x"}},
		)},
		{name: "a header block that expands", run: hpackBomb},
		{name: "SETTINGS and PING", run: controls(framing{})},
		{name: "SETTINGS and PING, unread answers", run: controls(framing{deaf: true, receive: 4096})},
		{name: "small DATA frames", run: content()},
		{name: "headers that do not end", run: continuations()},
		{name: "frames that change nothing", run: ignored()},
		{name: "short connections", run: visits(1000,
			func(a *arena) (net.Conn, error) { return a.dial() },
			framed(func(*arena, *frames) error { return nil }))},
	}
}

// requestFlood sends requests over one HTTP/1 connection after another, each kind in
// turn. It does not wait for answers, which are read and discarded.
func stream(perSecond int, kinds ...func(a *arena, i int) string) func(*arena) error {
	return func(a *arena) error {
		paced := a.pace(perSecond)
		time.AfterFunc(300*time.Millisecond, a.set)
		i := 0
		return a.again(func() error {
			conn, err := a.dial()
			if err != nil {
				return err
			}
			defer a.drop(conn)
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
func unknownIDs(size int) func(*arena) error {
	const workers, n = 4, 1000
	methods := []string{"HEAD", "GET", "DELETE", "PATCH"}
	query := strings.Repeat("q", size)
	return func(a *arena) error {
		var sent atomic.Int64
		return a.many(workers, func(int) error {
			return a.again(func() error {
				conn, err := a.dial()
				if err != nil {
					return err
				}
				defer a.drop(conn)
				for !a.over() {
					i := sent.Add(1)
					if i > n {
						return a.hold()
					}
					method := methods[i%int64(len(methods))]
					head := a.head(method, fmt.Sprintf("%s%032x?%s", uploads, i, query), "Upload-Offset: 0", offsetStream, "Content-Length: 0")
					if _, err := ask(conn, method, head); err != nil {
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
func unread104(a *arena) error {
	conns := make([]net.Conn, 100)
	for i := range conns {
		conn, err := a.dialSmall(4096)
		if err != nil {
			return err
		}
		io.WriteString(conn, draft("POST", a.Address, uploads, "Upload-Complete: ?0", "Content-Length: 1000000000"))
		conns[i] = conn
	}
	paced := a.pace(2000)
	content := make([]byte, 16<<10)
	time.AfterFunc(time.Second, a.set)
	for i := 0; paced.step(); i++ {
		conn := conns[i%len(conns)]
		conn.SetWriteDeadline(time.Now().Add(time.Millisecond))
		conn.Write(content)
	}
	return nil
}

// slowBodies sends 1000 uploads at one byte per second, each on its own connection.
func slowBodies(a *arena) error {
	conns := make([]net.Conn, 1000)
	err := a.many(len(conns), func(i int) (err error) {
		conns[i], err = patching("Content-Length: 10000\r\n\r\n")(a)
		return err
	})
	if err != nil {
		return err
	}
	a.set()
	for paced := a.pace(len(conns)); paced.step(); {
		conns[paced.steps%len(conns)].Write([]byte("x"))
	}
	return nil
}

// lockWaiters sends requests that wait for the lock of one upload.
func locked(a *arena) error {
	path, err := a.create(10000)
	if err != nil {
		return err
	}
	return a.many(500, func(i int) error {
		if _, err := a.say(a.head("PATCH", path, "Upload-Offset: 0", offsetStream, "Content-Length: 10000") + "x"); err != nil {
			return err
		}
		if i == 500-1 {
			return a.hold()
		}
		return nil
	})
}

// wrongChecksums sends 1000 chunks with a wrong checksum per second.
func checksummed(a *arena) error {
	path, err := a.create(1 << 30)
	if err != nil {
		return err
	}
	return stream(1000, func(a *arena, _ int) string {
		return a.head("PATCH", path, "Upload-Offset: 0", offsetStream, "Upload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", "Content-Length: 5") + "hallo"
	})(a)
}

// storingFloods are the floods that reach the store.
func storingFloods() []attack {
	return []attack{
		{name: "unknown ids with long queries", run: unknownIDs(240000)}, // near the limit of a head
		{name: "unknown ids", run: unknownIDs(1)},
		{name: "creations", run: stream(1000,
			func(a *arena, _ int) string {
				return a.head("POST", uploads, "Upload-Defer-Length: 1", "Content-Length: 0")
			},
			func(a *arena, _ int) string { return a.head("POST", uploads, "Upload-Length: 0", "Content-Length: 0") },
			func(a *arena, _ int) string {
				return draft("POST", a.Address, uploads, "Upload-Complete: ?0", "Content-Length: 1") + "x"
			},
		)},
		{name: "checksummed chunks", run: checksummed},
		{name: "slow bodies", run: slowBodies},
		{name: "waiting for one lock", run: locked},
		{name: "unread interim answers", run: unread104},
		{name: "rapid reset of PATCH", run: resetUpload},
	}
}

// otherFloods are the floods that do not reach the store.
func otherFloods() []attack {
	long := strings.Repeat("p", 200<<10)
	return []attack{
		{name: "long request lines", run: stream(300,
			func(a *arena, _ int) string { return a.head("HEAD", "/"+long) },
			func(a *arena, _ int) string { return a.head("HEAD", uploads+long) },
			func(a *arena, _ int) string { return a.head(long, uploads, "Content-Length: 0") },
		)},
		{name: "pipelined requests", run: together(
			stream(5000, func(a *arena, _ int) string { return a.head("HEAD", uploads+"unknown") }),
			stream(500, func(a *arena, _ int) string { return a.head("GET", "/metrics") }),
		)},
	}
}

// hpackBomb sends header blocks whose fields are references to one long field in the
// HPACK table: a few bytes on the wire for each KiB.
func hpackBomb(a *arena) error {
	line := "X-A: " + strings.Repeat("x", 4000)
	lines := make([]string, 1000)
	for i := range lines {
		lines[i] = line
	}
	return flood(500, framing{}, nil, func(c *frames, _ int) error {
		_, err := c.request("HEAD", uploads, true, lines...)
		return err
	})(a)
}
