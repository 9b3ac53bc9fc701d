package s3store_test

import (
	"context"
	"errors"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd/internal/require"
)

// paced is a body that delivers at most so many bytes per Read, each after a pause.
type paced struct {
	src   io.Reader
	most  int
	pause time.Duration

	longest time.Duration // between two Reads
	last    time.Time     // end of the last Read
}

func newPaced(id string, size int64, most int, pause time.Duration) *paced {
	return &paced{src: bodyOf(id, 0, size), most: most, pause: pause, last: time.Now()}
}

func (p *paced) Read(b []byte) (int, error) {
	p.longest = max(p.longest, time.Since(p.last))
	if p.pause > 0 {
		<-time.After(p.pause) // of the fake clock
	}
	defer func() { p.last = time.Now() }()
	return p.src.Read(b[:min(len(b), p.most)])
}

// note updates longest, the maximum of all bodies.
func (p *paced) note(longest *atomic.Int64) {
	for {
		before := longest.Load()
		if int64(p.longest) <= before || longest.CompareAndSwap(before, int64(p.longest)) {
			return
		}
	}
}

// stalled is a body that stalls after its first bytes, and fails when quit is closed.
type stalled struct {
	first io.Reader
	quit  <-chan struct{}
}

var errDisconnected = errors.New("the client was disconnected")

func (s *stalled) Read(b []byte) (int, error) {
	if n, err := s.first.Read(b); err == nil {
		return n, nil
	}
	<-s.quit
	return 0, errDisconnected
}

// 200 uploads share a memory of 12 parts. Some clients are slow, some stall, some
// send checksums. No other body waits 5 s for a Read, all uploads complete, and the
// bytes of stalled clients are stored.
func TestManyUploadsWithSlowAndStalledClients(t *testing.T) {
	require.Long(t)
	for name, equal := range map[string]bool{"any parts": false, "equal parts": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newSimulation(t, 64*mib, 5*mib)
				c.store.Profile.EqualParts = equal
				c.open()
				c.manyUploads()
			})
		})
	}
}

// idOf returns the id of the i-th upload. One of ten is compared.
func idOf(i int) string {
	if i%20 < 2 {
		return compared + strconv.Itoa(i)
	}
	return "upload" + strconv.Itoa(i)
}

func (c *simulation) manyUploads() {
	const uploads, size, sent = 200, 7_000_001, 3_000_003
	quit := make(chan struct{})
	var going, stopped sync.WaitGroup
	var longest atomic.Int64
	for i := range uploads {
		id, checksummed := idOf(i), i%8 < 4
		up, lease := c.create(id, size)
		if i%4 == 0 {
			stopped.Go(func() { c.resume(lease, id, c.stall(up, id, sent, checksummed, quit), size, checksummed) })
			continue
		}
		going.Go(func() {
			body := newPaced(id, size, 50_000, time.Duration(i%2)*50*time.Millisecond)
			c.write(up, id, size, body, checksummed)
			body.note(&longest)
		})
	}
	going.Wait()
	c.Logf("the longest wait was %v; %d requests waited for memory", time.Duration(longest.Load()), c.store.Memory().Waits)
	if wait := time.Duration(longest.Load()); wait > 5*time.Second {
		c.Errorf("a body was not read for %v", wait)
	}
	close(quit)
	stopped.Wait()
	for i := range uploads {
		c.wantContent(idOf(i), size)
	}
	c.wantNothingLeft()
}

// More clients than memory blocks stall in the middle of their bodies. Their memory
// is bounded: other clients are not slowed down.
func TestStalledClientsLeaveMemoryToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients, size = 2000, 10 * mib
		c := newSimulation(t, 256*mib, 5*mib)
		c.open()
		quit := make(chan struct{})
		var stopped sync.WaitGroup
		for i := range clients {
			id, sent := "upload"+strconv.Itoa(i), int64(i)*1000
			up, _ := c.create(id, size)
			stopped.Go(func() { c.stall(up, id, sent, i%3 == 0, quit) })
		}
		synctest.Wait()
		for i := range 10 {
			id := "other" + strconv.Itoa(i)
			up, _ := c.create(id, size)
			body := newPaced(id, size, 1<<20, 0)
			c.write(up, id, size, body, i%2 == 0)
			if body.longest > 5*time.Second {
				t.Errorf("body %d was not read for %v", i, body.longest)
			}
		}
		close(quit)
		stopped.Wait()
	})
}

// Without conditional writes, the call of a tail object is not aborted when the
// client disconnects: it could later replace the next tail object, which may be
// larger and acknowledged.
func TestTailObjectIsNotAbortedWithoutConditions(t *testing.T) {
	for name, without := range map[string]bool{"conditions": false, "no conditions": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const size = 3 * mib // more than a write that is never aborted
				c := newSimulation(t, 64*mib, 5*mib)
				c.store.Profile.NoConditions = without
				c.open()
				up, lease := c.create(compared, 10*mib)
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(c.service.latency/2, cancel) // during the call of the tail object
				n, err := up.WriteChunk(ctx, 0, bodyOf(compared, 0, size))
				if want := map[bool]int64{false: 0, true: size}[without]; n != want || n < size && !errors.Is(err, context.Canceled) {
					t.Errorf("%d bytes, error %v, want %d", n, err, want)
				}
				c.resume(lease, compared, n, 10*mib, false)
				c.wantContent(compared, 10*mib)
				c.wantNothingLeft()
			})
		})
	}
}
