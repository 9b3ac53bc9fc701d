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

// flood sends frames over one connection of HTTP/2 after another, each as long
// as the server bears it.
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

// request opens a stream. The caller holds c.mu.
func (c *frames) request(method, path string, end bool, lines ...string) (uint32, error) {
	id := c.next
	c.next += 2
	return id, c.send(id, c.encode(method, path, lines), end)
}

// reset is rapid reset: a request is taken back as soon as it is made.
func reset(method, path string, end bool, lines ...string) func(*arena) error {
	return flood(5000, framing{refill: true}, nil, func(c *frames, _ int) error {
		id, err := c.request(method, path, end, lines...)
		if err != nil {
			return err
		}
		return c.WriteRSTStream(id, http2.ErrCodeCancel)
	})
}

// resetUpload resets PATCHes of one upload that have sent a little.
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

func frameFloods() []attack {
	const fast = 50000
	settings := func(c *frames, _ int) error {
		return c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 65535})
	}
	ping := func(c *frames, _ int) error { return c.WritePing(false, [8]byte{}) }
	deaf := framing{deaf: true, receive: 4096}
	return []attack{
		{"rapid reset of metrics", reset("GET", "/metrics", true)},
		{"rapid reset of profiles", reset("GET", "/debug/pprof/goroutine?debug=2", true)},
		{"rapid reset of the greeting", reset("GET", "/", true)},
		{"rapid reset of HEAD", reset("HEAD", uploads+"unknown", true)},
		{"rapid reset of GET", reset("GET", uploads+"unknown", true)},
		{"rapid reset of OPTIONS", reset("OPTIONS", uploads, true)},
		{"rapid reset of POST", reset("POST", uploads, false, "Upload-Length: 5", offsetStream)},
		{"rapid reset of a wrong POST", reset("POST", uploads, false, "Upload-Length: x")},
		{"a header block that expands", hpackBomb},
		{"SETTINGS", flood(fast, framing{}, nil, settings)},
		{"SETTINGS, deaf", flood(fast, deaf, nil, settings)},
		{"PING", flood(fast, framing{}, nil, ping)},
		{"PING, deaf", flood(fast, deaf, nil, ping)},
		{"empty DATA", flood(fast, framing{}, openPatch, func(c *frames, _ int) error { return c.WriteData(1, false, nil) })},
		{"padded DATA", flood(fast, framing{}, openPatch, func(c *frames, _ int) error {
			return c.WriteDataPadded(1, false, []byte("x"), make([]byte, 255))
		})},
		{"DATA of a byte", flood(fast, framing{}, openPatch, func(c *frames, _ int) error { return c.WriteData(1, false, []byte("x")) })},
		{"CONTINUATION", flood(fast, framing{}, func(_ *arena, c *frames) error {
			return c.write(func() error {
				return c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.encode("HEAD", uploads, nil)})
			})
		}, func(c *frames, i int) error {
			c.block.Reset()
			c.encodeField("x-a", strings.Repeat("x", 1000))
			return c.WriteContinuation(1, false, c.block.Bytes())
		})},
		{"empty CONTINUATION", flood(fast, framing{}, func(_ *arena, c *frames) error {
			return c.write(func() error {
				return c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.encode("HEAD", uploads, nil)})
			})
		}, func(c *frames, i int) error { return c.WriteContinuation(1, false, nil) })},
		{"PRIORITY", flood(fast, framing{}, nil, func(c *frames, i int) error {
			return c.WritePriority(uint32(2*i+1), http2.PriorityParam{StreamDep: uint32(2*i + 3), Weight: 255})
		})},
		{"WINDOW_UPDATE", flood(fast, framing{}, openPatch, func(c *frames, i int) error { return c.WriteWindowUpdate(uint32(i%2), 1) })},
		{"frames of an unknown type", flood(fast, framing{}, nil, func(c *frames, _ int) error {
			return c.WriteRawFrame(0x77, 0, 0, make([]byte, 100))
		})},
		{"trailers without end", flood(fast, framing{}, nil, func(c *frames, _ int) error {
			id, err := c.request("PATCH", uploads+"unknown", false, "Upload-Offset: 0", offsetStream)
			if err != nil {
				return err
			}
			c.block.Reset()
			c.encodeField("x-a", strings.Repeat("x", 1000))
			return c.send(id, c.block.Bytes(), true)
		})},
		{"connections of HTTP/2 that come and go", func(a *arena) error {
			paced := a.pace(500)
			time.AfterFunc(300*time.Millisecond, a.set)
			for paced.step() {
				if c, err := a.frames(framing{deaf: true}); err == nil {
					a.drop(c.conn)
				}
			}
			return nil
		}},
		{"connections of HTTP/1 that come and go", func(a *arena) error {
			paced := a.pace(1000)
			time.AfterFunc(300*time.Millisecond, a.set)
			for paced.step() {
				if conn, err := a.dial(); err == nil {
					a.drop(conn)
				}
			}
			return nil
		}},
	}
}

// stream sends requests over one connection of HTTP/1 after another, without
// waiting for answers, which are read and thrown away.
func stream(perSecond int, request func(a *arena, i int) string) func(*arena) error {
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
				if _, err := io.WriteString(conn, request(a, i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// unknownIDs asks for ids that do not exist, with a query of 250 000 bytes,
// which is near the limit of a header.
func unknownIDs(method string, size int, lines ...string) func(*arena) error {
	query := strings.Repeat("q", size)
	return func(a *arena) error {
		const workers = 4
		var sent atomic.Int64
		n := int64(1000)
		return a.many(workers, func(w int) error {
			return a.again(func() error {
				conn, err := a.dial()
				if err != nil {
					return err
				}
				defer a.drop(conn)
				for !a.over() {
					i := sent.Add(1)
					if i > n {
						a.set()
						<-a.ctx.Done()
						return nil
					}
					if _, err := ask(conn, method, a.head(method, fmt.Sprintf("%s%032x?%s", uploads, i, query), lines...)); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
}

// unread104 has IETF uploads running whose client reads no interim answers.
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

// slowBodies are uploads of a byte a second, each on a connection of its own.
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

// locked are requests that wait for an upload which another one uses.
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

// checksummed are chunks with a wrong checksum, by the thousand.
func checksummed(a *arena) error {
	path, err := a.create(1 << 30)
	if err != nil {
		return err
	}
	return stream(1000, func(a *arena, _ int) string {
		return a.head("PATCH", path, "Upload-Offset: 0", offsetStream, "Upload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", "Content-Length: 5") + "hallo"
	})(a)
}

func requestFloods() []attack {
	long := strings.Repeat("p", 200<<10)
	return []attack{
		{"unknown ids with long queries, HEAD", unknownIDs("HEAD", 240000)},
		{"unknown ids with long queries, GET", unknownIDs("GET", 240000)},
		{"unknown ids with long queries, DELETE", unknownIDs("DELETE", 240000)},
		{"unknown ids with long queries, PATCH", unknownIDs("PATCH", 240000, "Upload-Offset: 0", offsetStream, "Content-Length: 0")},
		{"unknown ids, HEAD", unknownIDs("HEAD", 1)},
		{"long paths", stream(300, func(a *arena, _ int) string { return a.head("HEAD", "/"+long) })},
		{"long ids", stream(300, func(a *arena, _ int) string { return a.head("HEAD", uploads+long) })},
		{"long methods", stream(300, func(a *arena, _ int) string { return a.head(long, uploads, "Content-Length: 0") })},
		{"pipelined HEAD", stream(5000, func(a *arena, _ int) string { return a.head("HEAD", uploads+"unknown") })},
		{"pipelined metrics", stream(500, func(a *arena, _ int) string { return a.head("GET", "/metrics") })},
		{"creations of deferred length", stream(1000, func(a *arena, _ int) string {
			return a.head("POST", uploads, "Upload-Defer-Length: 1", "Content-Length: 0")
		})},
		{"empty uploads", stream(1000, func(a *arena, _ int) string {
			return a.head("POST", uploads, "Upload-Length: 0", "Content-Length: 0")
		})},
		{"IETF creations", stream(1000, func(a *arena, _ int) string {
			return draft("POST", a.Address, uploads, "Upload-Complete: ?0", "Content-Length: 1") + "x"
		})},
		{"checksummed chunks", checksummed},
		{"slow bodies", slowBodies},
		{"waiting for one lock", locked},
		{"unread interim answers", unread104},
	}
}

// hpackBomb is a header block that is a few bytes on the wire for each KiB it
// stands for.
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
