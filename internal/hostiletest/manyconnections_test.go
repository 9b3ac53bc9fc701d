//go:build linux

package hostiletest

import (
	"net"
	"strings"

	"golang.org/x/net/http2"
)

// connectionsOfUpload opens n connections, in S3 onS3 ones, which may use a complete
// upload.
func connectionsOfUpload(n, onS3 int, kinds func(upload string) []stall) func(*attacker) error {
	return func(a *attacker) error {
		path, err := a.createComplete(download)
		if err != nil {
			return err
		}
		size := n
		if a.s3 != nil {
			size = onS3
		}
		return openConnections(size, kinds(path)...)(a)
	}
}

// openConnections opens n connections, each kind in turn, and keeps them open.
func openConnections(n int, kinds ...stall) func(*attacker) error {
	return func(a *attacker) error {
		err := a.parallel(n, func(i int) error {
			_, err := kinds[i%len(kinds)].open(a)
			return err
		})
		if err != nil {
			return err
		}
		return a.waitForEnd()
	}
}

// storingConnections are attacks with many connections that reach the store. An upload
// takes 50 KiB, in S3 100 KiB, as does a download over HTTP/2.
func storingConnections() []attack {
	return []attack{
		{name: "bodies that do not end", run: connectionsOfUpload(1000, 500, func(string) []stall { return unfinishedBodies() })},
		{name: "HTTP2 bodies that do not end", run: connectionsOfUpload(1000, 500, func(string) []stall { return []stall{halfBodyHTTP2()} })},
		{name: "unread uploads", run: connectionsOfUpload(200, 100, func(upload string) []stall { return unreadAnswers(upload)[:2] })},
		{name: "zero windows of downloads", run: connectionsOfUpload(500, 250, func(upload string) []stall { return zeroWindows(upload)[:1] })},
		{name: "streams of downloads", run: connectionsOfUpload(20, 20, func(upload string) []stall { return []stall{manyStreams(upload)} })},
	}
}

// otherConnections are attacks with many connections that do not reach the store.
func otherConnections() []attack {
	return []attack{
		{name: "silent connections", run: openConnections(1000, silentConnections()...)},
		{name: "unread pages", run: connectionsOfUpload(200, 200, func(upload string) []stall { return unreadAnswers(upload)[2:] })},
		{name: "zero windows of pages", run: connectionsOfUpload(1000, 1000, func(upload string) []stall { return zeroWindows(upload)[1:] })},
		{name: "unfinished frames", run: openConnections(500, unfinishedFrames()...)},
		{name: "bodies that are announced", run: connectionsOfUpload(1000, 1000, missingBodies)},
	}
}

// openAtRate opens n connections at a rate. Reading a head of 240 KiB makes five times
// as much garbage, so the number per second matters: 100 take 200 Mbit/s.
func openAtRate(n, perSecond int, s stall) func(*attacker) error {
	return func(a *attacker) error {
		for paced := a.pace(perSecond); paced.steps < n && paced.step(); {
			if _, err := s.open(a); err != nil {
				return err
			}
		}
		return a.waitForEnd()
	}
}

// largeHeads are attacks with heads of the largest size.
func largeHeads() []attack {
	large := strings.Repeat("x", 240<<10)
	return []attack{
		{name: "large unfinished heads", run: openAtRate(500, 200, stall{open: sendingText("HEAD /files/x HTTP/1.1\r\nHost: a\r\nX: " + large)})},
		{name: "slow bodies with large heads", run: openAtRate(300, 200, stall{open: sendingPatch("X: " + large + "\r\nContent-Length: 10000\r\n\r\nx")})},
		{name: "HTTP2 slow bodies with large heads", run: openAtRate(200, 100, stall{open: onHTTP2(func(_ *attacker, c *http2Conn) error {
			_, err := c.openStreamAndFlush("POST", uploads, false, "Upload-Length: 5", offsetStream, "X-A: "+large)
			return err
		})})},
		{name: "HTTP2 large unfinished heads", run: openAtRate(500, 200, stall{open: onHTTP2(func(_ *attacker, c *http2Conn) error {
			return c.writeAndFlush(func() error { return c.writeUnfinishedHead(16, large[:15000]) })
		})})},
	}
}

// writeUnfinishedHead writes a head of n fields without its end. The caller holds mu.
func (c *http2Conn) writeUnfinishedHead(n int, value string) error {
	err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.encodeHead("HEAD", uploads, nil)})
	for i := 0; i < n && err == nil; i++ {
		c.block.Reset()
		c.encodeField("x-a", value)
		err = c.WriteContinuation(1, false, c.block.Bytes())
	}
	return err
}

// manyStreams opens 25 downloads on a connection that receives nothing.
func manyStreams(upload string) stall {
	return stall{"streams", func(a *attacker) (net.Conn, error) {
		c, err := a.dialHTTP2(http2Options{zeroWindow: true, noReads: true})
		for i := 0; i < 25 && err == nil; i++ {
			_, err = c.openStream("GET", upload, true)
		}
		if err == nil {
			err = c.flush()
		}
		return connected(c, err)
	}}
}
