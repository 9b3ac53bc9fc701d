//go:build linux

package hostiletest

import (
	"net"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/net/http2"
)

// crowd opens n connections of one kind and keeps them.
func crowd(n int, s stall) func(*arena) error {
	return func(a *arena) error {
		err := a.many(n, func(int) error {
			_, err := s.open(a)
			return err
		})
		if err != nil {
			return err
		}
		return a.hold()
	}
}

// crowdsOf are stalls by the thousand. On S3 they are fewer: an upload there takes
// twice as much, 100 KiB.
func crowdsOf(n int, kinds func(upload string) []stall) (all []attack) {
	for i, s := range kinds("") {
		all = append(all, attack{s.name, func(a *arena) error {
			n := n
			path, err := a.filled(download)
			if err != nil {
				return err
			}
			if a.s3 != nil {
				n = n * 2 / 5
			}
			return crowd(n, kinds(path)[i])(a)
		}})
	}
	return all
}

// storingCrowds are those that the store sees.
func storingCrowds() []attack {
	return slices.Concat(
		crowdsOf(1000, func(string) []stall { return bodies() }),
		crowdsOf(200, func(upload string) []stall { return unreads(upload)[:2] }),
		crowdsOf(500, func(upload string) []stall { return windows(upload)[:1] }), // each takes 100 KiB
	)
}

// otherCrowds are those that it does not see.
func otherCrowds() []attack {
	return slices.Concat(
		crowdsOf(1000, func(string) []stall { return silences() }),
		crowdsOf(200, func(upload string) []stall { return unreads(upload)[2:] }),
		crowdsOf(1000, func(upload string) []stall { return windows(upload)[1:] }),
		crowdsOf(500, func(string) []stall { return unfinished() }),
		[]attack{{"bodies that are announced", announcing}},
	)
}

// announcing has 1500 connections that announce a body, in all the ways there
// are.
func announcing(a *arena) error {
	path, err := a.filled(download)
	if err != nil {
		return err
	}
	kinds := announced(path)
	var next atomic.Int64
	return crowd(1500, stall{open: func(a *arena) (net.Conn, error) {
		return kinds[int(next.Add(1))%len(kinds)].open(a)
	}})(a)
}

// slowly opens connections at a rate. Heads of 240 KiB leave five times as much
// behind for the collector when they are read, so what counts is how many come
// in a second: 100 take 200 Mbit/s.
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

// largeHeads hold heads of requests that are as large as may be.
func largeHeads() []attack {
	large := strings.Repeat("x", 240<<10)
	return []attack{
		{"large unfinished heads", slowly(500, 200, stall{open: saying("HEAD /files/x HTTP/1.1\r\nHost: a\r\nX: " + large)})},
		{"slow bodies with large heads", slowly(300, 200, stall{open: patching("X: " + large + "\r\nContent-Length: 10000\r\n\r\nx")})},
		{"HTTP2 slow bodies with large heads", slowly(200, 100, stall{open: framed(func(_ *arena, c *frames) error {
			_, err := c.opened("POST", uploads, false, "Upload-Length: 5", offsetStream, "X-A: "+large)
			return err
		})})},
		{"HTTP2 large unfinished heads", slowly(500, 200, stall{open: framed(func(_ *arena, c *frames) error {
			return c.write(func() error { return c.unfinished(16, large[:15000]) })
		})})},
	}
}

// unfinished begins a head and goes on with n fields. The caller holds mu.
func (c *frames) unfinished(n int, value string) error {
	err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.encode("HEAD", uploads, nil)})
	for i := 0; i < n && err == nil; i++ {
		c.block.Reset()
		c.encodeField("x-a", value)
		err = c.WriteContinuation(1, false, c.block.Bytes())
	}
	return err
}

// manyStreams has 25 downloads on each of 20 connections that receive nothing.
func manyStreams(a *arena) error {
	path, err := a.filled(download)
	if err != nil {
		return err
	}
	return crowd(20, stall{open: func(a *arena) (net.Conn, error) {
		c, err := a.frames(framing{none: true, deaf: true})
		for i := 0; i < 25 && err == nil; i++ {
			_, err = c.open("GET", path, true)
		}
		if err == nil {
			err = c.flush()
		}
		return connected(c, err)
	}})(a)
}
