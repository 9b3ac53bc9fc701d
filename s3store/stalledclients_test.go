package s3store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/storetest"
)

// crowd is many uploads on one store over a service without a network, on a
// fake clock.
type crowd struct {
	*testing.T
	service *fakeService
	store   *s3store.Store
	locker  *leasing
}

// kept are the uploads whose contents are compared. Those of the others cost
// nothing.
const kept = "kept"

func newCrowd(t *testing.T, memory, minPart int64) *crowd {
	c := &crowd{T: t, locker: &leasing{}}
	c.service = newFakeService(minPart, 10_000, func(key string) bool { return strings.HasPrefix(key, kept) })
	c.service.latency = 20 * time.Millisecond
	c.store = s3store.New("bucket", c.service)
	c.store.Profile.MinPart, c.store.BufferMemory = minPart, memory
	return c
}

func (c *crowd) open() {
	c.Helper()
	if err := c.store.Open(c.Context(), tusd.Env{Locker: c.locker}); err != nil {
		c.Fatal(err)
	}
}

func bodyOf(id string, from, to int64) io.Reader {
	if strings.HasPrefix(id, kept) {
		return storetest.ContentReader(id, from, to)
	}
	return io.LimitReader(blank{}, to-from)
}

// create makes an upload and keeps its lock.
func (c *crowd) create(id string, size int64) (tusd.Upload, tusd.Lease) {
	c.Helper()
	return c.createLike(tusd.FileInfo{ID: id, Size: size})
}

func (c *crowd) createLike(info tusd.FileInfo) (tusd.Upload, tusd.Lease) {
	c.Helper()
	lease, err := c.locker.Lock(c.Context(), info.ID, tusd.LockPreempt)
	if err != nil {
		c.Fatal(err)
	}
	up, err := c.store.NewUpload(c.Context(), lease, info)
	if err != nil {
		c.Fatal(err)
	}
	return up, lease
}

// writer is what stores a chunk of an upload, and waits for memory for ten
// minutes at most.
func (c *crowd) writer(up tusd.Upload, atomic bool) func(int64, io.Reader) (int64, error) {
	return func(offset int64, src io.Reader) (int64, error) {
		ctx, cancel := context.WithTimeout(c.Context(), 10*time.Minute)
		defer cancel()
		if atomic {
			return c.store.WriteAtomic(ctx, up, offset, src)
		}
		return up.WriteChunk(ctx, offset, src)
	}
}

// write stores a body whose client does not break off.
func (c *crowd) write(up tusd.Upload, id string, size int64, body io.Reader, atomic bool) {
	if n, err := c.writer(up, atomic)(0, body); err != nil || n != size {
		c.Errorf("upload %s: %d of %d bytes, error %v", id, n, size, err)
	}
	if err := up.FinishUpload(c.Context()); err != nil {
		c.Errorf("upload %s: %v", id, err)
	}
}

// stop sends some bytes and no more, and returns how many are stored when the
// client is disconnected.
func (c *crowd) stop(up tusd.Upload, id string, sent int64, atomic bool, quit <-chan struct{}) int64 {
	stored, err := c.writer(up, atomic)(0, &stalled{bodyOf(id, 0, sent), quit})
	if !errors.Is(err, errDisconnected) {
		c.Errorf("upload %s: %d bytes, error %v", id, stored, err)
	}
	if want := map[bool]int64{true: 0, false: sent}[atomic]; stored != want {
		c.Errorf("upload %s: %d bytes are stored, want %d", id, stored, want)
	}
	return stored
}

// goOn brings an upload to its end.
func (c *crowd) goOn(lease tusd.Lease, id string, stored, size int64, atomic bool) {
	up, err := c.store.GetUpload(c.Context(), lease, id)
	if err != nil {
		c.Error(err)
		return
	}
	n, err := c.writer(up, atomic)(stored, bodyOf(id, stored, size))
	if err != nil || stored+n != size {
		c.Errorf("upload %s: goes on for %d bytes, error %v", id, n, err)
	}
	if err := up.FinishUpload(c.Context()); err != nil {
		c.Errorf("upload %s: %v", id, err)
	}
}

// wantContent compares what the service has in the end.
func (c *crowd) wantContent(id string, size int64) {
	c.Helper()
	got, want := c.service.read(id), []byte(nil)
	if strings.HasPrefix(id, kept) {
		want = make([]byte, size)
		storetest.Content(id, 0, want)
	}
	if got.size != size || !bytes.Equal(got.data, want) {
		c.Errorf("upload %s: the object has %d bytes, want %d, or others", id, got.size, size)
	}
}

// wantNothingLeft looks for what only the chunks needed.
func (c *crowd) wantNothingLeft() {
	c.Helper()
	if use := c.store.Memory(); use.Reserved != 0 || use.Waiting != 0 {
		c.Errorf("%d bytes of memory stay reserved, %d requests wait", use.Reserved, use.Waiting)
	}
	for key := range c.service.objects {
		if strings.HasSuffix(key, ".part") {
			c.Errorf("the tail object %s is left", key)
		}
	}
}

// paced is a body of which so much comes at a time, each after a pause.
type paced struct {
	src   io.Reader
	most  int
	pause time.Duration

	longest time.Duration // that the server let the client wait
	last    time.Time     // when the last bytes came
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

// note keeps the longest wait of all bodies.
func (p *paced) note(longest *atomic.Int64) {
	for {
		before := longest.Load()
		if int64(p.longest) <= before || longest.CompareAndSwap(before, int64(p.longest)) {
			return
		}
	}
}

// stalled is a body that stops after its first bytes until it is disconnected.
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

// 200 uploads share a memory that has room for 12 parts. Some clients are
// slow, some stop, some send checksums: none of the others waits for 5 s
// without being read, all end, and what those that stopped have sent is stored.
func TestManyUploadsWithSlowAndStalledClients(t *testing.T) {
	for name, equal := range map[string]bool{"any parts": false, "equal parts": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCrowd(t, 64*mib, 5*mib)
				c.store.Profile.EqualParts = equal
				c.open()
				c.manyUploads()
			})
		})
	}
}

// idOf names the i-th of many uploads: one of ten is compared.
func idOf(i int) string {
	if i%20 < 2 {
		return kept + strconv.Itoa(i)
	}
	return "upload" + strconv.Itoa(i)
}

func (c *crowd) manyUploads() {
	const uploads, size, sent = 200, 7_000_001, 3_000_003
	quit := make(chan struct{})
	var going, stopped sync.WaitGroup
	var longest atomic.Int64
	for i := range uploads {
		id, proven := idOf(i), i%8 < 4
		up, lease := c.create(id, size)
		if i%4 == 0 {
			stopped.Go(func() { c.goOn(lease, id, c.stop(up, id, sent, proven, quit), size, proven) })
			continue
		}
		going.Go(func() {
			body := newPaced(id, size, 50_000, time.Duration(i%2)*50*time.Millisecond)
			c.write(up, id, size, body, proven)
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

// More clients than there are blocks of memory stop in the middle of their
// bodies. What they keep is bounded: others are not slowed down.
func TestStoppedClientsLeaveMemoryToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients, size = 2000, 10 * mib
		c := newCrowd(t, 256*mib, 5*mib)
		c.open()
		quit := make(chan struct{})
		var stopped sync.WaitGroup
		for i := range clients {
			id, sent := "upload"+strconv.Itoa(i), int64(i)*1000
			up, _ := c.create(id, size)
			stopped.Go(func() { c.stop(up, id, sent, i%3 == 0, quit) })
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

// A tail object whose client has gone is waited for where the service knows no
// conditions: it could arrive in the place of the next one, which may be larger
// and acknowledged.
func TestTailObjectIsNotAbortedWithoutConditions(t *testing.T) {
	for name, without := range map[string]bool{"conditions": false, "no conditions": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const size = 3 * mib // more than is as good as sent
				c := newCrowd(t, 64*mib, 5*mib)
				c.store.Profile.NoConditions = without
				c.open()
				up, lease := c.create(kept, 10*mib)
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(c.service.latency/2, cancel) // while the tail object is on its way
				n, err := up.WriteChunk(ctx, 0, bodyOf(kept, 0, size))
				if want := map[bool]int64{false: 0, true: size}[without]; n != want || n < size && !errors.Is(err, context.Canceled) {
					t.Errorf("%d bytes, error %v, want %d", n, err, want)
				}
				c.goOn(lease, kept, n, 10*mib, false)
				c.wantContent(kept, 10*mib)
				c.wantNothingLeft()
			})
		})
	}
}
