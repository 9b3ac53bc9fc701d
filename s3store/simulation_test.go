package s3store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/storetest"
)

// simulation is a store over a service without a network, with many uploads and a
// fake clock.
type simulation struct {
	*testing.T
	service *fakeService
	store   *s3store.Store
	locker  *leaseLocker
}

// compared is the prefix of the ids of the uploads whose contents are stored and
// compared. The contents of other uploads are blank.
const compared = "compared"

func newSimulation(t *testing.T, memory, minPart int64) *simulation {
	c := &simulation{T: t, locker: &leaseLocker{}}
	c.service = newFakeService(minPart, 10_000, func(key string) bool { return strings.HasPrefix(key, compared) })
	c.service.latency = 20 * time.Millisecond
	c.store = s3store.New("bucket", c.service)
	c.store.Profile.MinPart, c.store.BufferMemory = minPart, memory
	return c
}

func (c *simulation) open() {
	c.Helper()
	if err := c.store.Open(c.Context(), tusd.Env{Locker: c.locker}); err != nil {
		c.Fatal(err)
	}
}

func bodyOf(id string, from, to int64) io.Reader {
	if strings.HasPrefix(id, compared) {
		return storetest.ContentReader(id, from, to)
	}
	return io.LimitReader(blankReader{}, to-from)
}

// create creates an upload and keeps its lock.
func (c *simulation) create(id string, size int64) (tusd.Upload, tusd.Lease) {
	c.Helper()
	return c.createWithInfo(tusd.FileInfo{ID: id, Size: size})
}

func (c *simulation) createWithInfo(info tusd.FileInfo) (tusd.Upload, tusd.Lease) {
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

// writer returns the function that stores a chunk of an upload. It waits for
// memory for ten minutes at most.
func (c *simulation) writer(up tusd.Upload, atomic bool) func(int64, io.Reader) (int64, error) {
	return func(offset int64, src io.Reader) (int64, error) {
		ctx, cancel := context.WithTimeout(c.Context(), 10*time.Minute)
		defer cancel()
		if atomic {
			return c.store.WriteAtomic(ctx, up, offset, src)
		}
		return up.WriteChunk(ctx, offset, src)
	}
}

// write stores a whole upload and finishes it.
func (c *simulation) write(up tusd.Upload, id string, size int64, body io.Reader, atomic bool) {
	if n, err := c.writer(up, atomic)(0, body); err != nil || n != size {
		c.Errorf("upload %s: %d of %d bytes, error %v", id, n, size, err)
	}
	if err := up.FinishUpload(c.Context()); err != nil {
		c.Errorf("upload %s: %v", id, err)
	}
}

// stall sends some bytes, stalls until quit is closed, and returns how many bytes
// are stored then.
func (c *simulation) stall(up tusd.Upload, id string, sent int64, atomic bool, quit <-chan struct{}) int64 {
	stored, err := c.writer(up, atomic)(0, &stalled{bodyOf(id, 0, sent), quit})
	if !errors.Is(err, errDisconnected) {
		c.Errorf("upload %s: %d bytes, error %v", id, stored, err)
	}
	if want := map[bool]int64{true: 0, false: sent}[atomic]; stored != want {
		c.Errorf("upload %s: %d bytes are stored, want %d", id, stored, want)
	}
	return stored
}

// resume stores the rest of an upload and finishes it.
func (c *simulation) resume(lease tusd.Lease, id string, stored, size int64, atomic bool) {
	up, err := c.store.GetUpload(c.Context(), lease, id)
	if err != nil {
		c.Error(err)
		return
	}
	n, err := c.writer(up, atomic)(stored, bodyOf(id, stored, size))
	if err != nil || stored+n != size {
		c.Errorf("upload %s: resumed with %d bytes, error %v", id, n, err)
	}
	if err := up.FinishUpload(c.Context()); err != nil {
		c.Errorf("upload %s: %v", id, err)
	}
}

// wantContent compares the object of an upload.
func (c *simulation) wantContent(id string, size int64) {
	c.Helper()
	got, want := c.service.read(id), []byte(nil)
	if strings.HasPrefix(id, compared) {
		want = make([]byte, size)
		storetest.Content(id, 0, want)
	}
	if got.size != size || !bytes.Equal(got.data, want) {
		c.Errorf("upload %s: the object has %d bytes, want %d, or others", id, got.size, size)
	}
}

// wantNothingLeft fails if memory is reserved or tail objects are left.
func (c *simulation) wantNothingLeft() {
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

// nextRequest unlocks the upload, and locks and loads it for the next request.
func (c *simulation) nextRequest(lease tusd.Lease, id string) (tusd.Upload, tusd.Lease) {
	c.Helper()
	lease.Unlock(c.Context())
	lease, err := c.locker.Lock(c.Context(), id, tusd.LockPreempt)
	if err != nil {
		c.Fatal(err)
	}
	up, err := c.store.GetUpload(c.Context(), lease, id)
	if err != nil {
		c.Fatal(err)
	}
	return up, lease
}

func (c *simulation) tailObjects() (n int) {
	c.service.mu.Lock()
	defer c.service.mu.Unlock()
	for key := range c.service.objects {
		if strings.HasSuffix(key, ".part") {
			n++
		}
	}
	return n
}
