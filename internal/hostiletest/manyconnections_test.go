//go:build linux

package hostiletest

import (
	"net"
	"strings"

	"golang.org/x/net/http2"
)

// connectionsOfUpload opens n connections, in S3 onS3 ones, which may use a complete
// upload.
func crowd(n, onS3 int, kinds func(upload string) []stall) func(*arena) error {
	return func(a *arena) error {
		path, err := a.filled(download)
		if err != nil {
			return err
		}
		size := n
		if a.s3 != nil {
			size = onS3
		}
		return gather(size, kinds(path)...)(a)
	}
}

// openConnections opens n connections, each kind in turn, and keeps them open.
func gather(n int, kinds ...stall) func(*arena) error {
	return func(a *arena) error {
		err := a.many(n, func(i int) error {
			_, err := kinds[i%len(kinds)].open(a)
			return err
		})
		if err != nil {
			return err
		}
		return a.hold()
	}
}

// storingConnections are attacks with many connections that reach the store. An upload
// takes 50 KiB, in S3 100 KiB, as does a download over HTTP/2.
func storingCrowds() []attack {
	return []attack{
		{name: "bodies that do not end", run: crowd(1000, 500, func(string) []stall { return bodies() })},
		{name: "HTTP2 bodies that do not end", run: crowd(1000, 500, func(string) []stall { return []stall{halfBody2()} })},
		{name: "unread uploads", run: crowd(200, 100, func(upload string) []stall { return unreads(upload)[:2] })},
		{name: "zero windows of downloads", run: crowd(500, 250, func(upload string) []stall { return windows(upload)[:1] })},
		{name: "streams of downloads", run: crowd(20, 20, func(upload string) []stall { return []stall{manyStreams(upload)} })},
	}
}

// otherConnections are attacks with many connections that do not reach the store.
func otherCrowds() []attack {
	return []attack{
		{name: "silent connections", run: gather(1000, silences()...)},
		{name: "unread pages", run: crowd(200, 200, func(upload string) []stall { return unreads(upload)[2:] })},
		{name: "zero windows of pages", run: crowd(1000, 1000, func(upload string) []stall { return windows(upload)[1:] })},
		{name: "unfinished frames", run: gather(500, unfinished()...)},
		{name: "bodies that are announced", run: crowd(1000, 1000, announced)},
	}
}

// openAtRate opens n connections at a rate. Reading a head of 240 KiB makes five times
// as much garbage, so the number per second matters: 100 take 200 Mbit/s.
func slowly(n, perSecond int, s stall) func(*arena) error {
	return func(a *arena) error {
		for paced := a.pace(perSecond); paced.steps < n && paced.step(); {
			if _, err := s.open(a); err != nil {
				return err
			}
		}
		return a.hold()
	}
}

// largeHeads are attacks with heads of the largest size.
func largeHeads() []attack {
	large := strings.Repeat("x", 240<<10)
	return []attack{
		{name: "large unfinished heads", run: slowly(500, 200, stall{open: saying("HEAD /files/x HTTP/1.1\r\nHost: a\r\nX: " + large)})},
		{name: "slow bodies with large heads", run: slowly(300, 200, stall{open: patching("X: " + large + "\r\nContent-Length: 10000\r\n\r\nx")})},
		{name: "HTTP2 slow bodies with large heads", run: slowly(200, 100, stall{open: framed(func(_ *arena, c *frames) error {
			_, err := c.opened("POST", uploads, false, "Upload-Length: 5", offsetStream, "X-A: "+large)
			return err
		})})},
		{name: "HTTP2 large unfinished heads", run: slowly(500, 200, stall{open: framed(func(_ *arena, c *frames) error {
			return c.write(func() error { return c.unfinished(16, large[:15000]) })
		})})},
	}
}

// writeUnfinishedHead writes a head of n fields without its end. The caller holds mu.
func (c *frames) unfinished(n int, value string) error {
	err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.encode("HEAD", uploads, nil)})
	for i := 0; i < n && err == nil; i++ {
		c.block.Reset()
		c.encodeField("x-a", value)
		err = c.WriteContinuation(1, false, c.block.Bytes())
	}
	return err
}

// manyStreams opens 25 downloads on a connection that receives nothing.
func manyStreams(upload string) stall {
	return stall{"streams", func(a *arena) (net.Conn, error) {
		c, err := a.frames(framing{none: true, deaf: true})
		for i := 0; i < 25 && err == nil; i++ {
			_, err = c.open("GET", upload, true)
		}
		if err == nil {
			err = c.flush()
		}
		return connected(c, err)
	}}
}
