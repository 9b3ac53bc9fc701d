package s3store_test

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/s3server"
)

// Many uploads share a memory that fits few of them: all complete, and all
// memory is free afterwards.
func TestManyUploadsShareMemory(t *testing.T) {
	const uploads, size = 60, 5*testPart + 77
	server := smallServer(t, s3server.Quirks{})
	store := testStore(server.Bucket(), clientOf(t, server))
	store.BufferMemory = 2 << 20 // eight blocks
	n := startNode(t, store, &tusd.LocalLocker{})
	paths := make([]string, uploads)
	var work sync.WaitGroup
	for i := range uploads {
		paths[i] = n.create(size)
		work.Go(func() {
			if answer := n.tryPatch(paths[i], 0, size); answer.StatusCode != http.StatusNoContent {
				t.Errorf("status %d", answer.StatusCode)
			}
		})
	}
	work.Wait()
	if t.Failed() {
		return
	}
	for _, path := range paths {
		n.wantContent(path, size)
	}
	if use := store.Memory(); use.Reserved != 0 || use.Waiting != 0 {
		t.Errorf("%d bytes stay reserved, %d requests wait", use.Reserved, use.Waiting)
	}
	t.Logf("%d requests had to wait", store.Memory().Waits)
}

// A slow body is flushed, so that other uploads get its memory.
func TestSlowBodyIsFlushed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 2 * mib
		c := newSimulation(t, mib, testMinPart) // four blocks
		c.open()
		started := time.Now()
		var work sync.WaitGroup
		for i := range 20 {
			id := compared + strconv.Itoa(i)
			up, _ := c.create(id, size)
			work.Go(func() {
				body := &slowBody{bodyOf(id, 0, size), 400}
				c.write(up, id, size, body, i%2 == 0)
				c.wantContent(id, size)
			})
		}
		work.Wait()
		if took := time.Since(started); took > time.Minute {
			t.Errorf("20 bodies of 20 s each took %v: they waited for one another", took)
		}
		c.wantNothingLeft()
	})
}

// slowBody delivers little for its first reads, and then the rest at once.
type slowBody struct {
	src  io.Reader
	slow int // reads
}

func (s *slowBody) Read(p []byte) (int, error) {
	if s.slow > 0 {
		s.slow--
		<-time.After(50 * time.Millisecond)
		p = p[:min(len(p), 500)]
	}
	return s.src.Read(p)
}

// Bytes of a slow body were flushed to tail objects when its chunk is rolled back.
func TestRewindOfSlowBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const at, size = 1000, 2 * mib
		c := newSimulation(t, mib, testMinPart) // four blocks
		c.open()
		var work sync.WaitGroup
		var flushed atomic.Bool
		const uploads = 12
		for i := range uploads {
			id := compared + strconv.Itoa(i)
			up, lease := c.create(id, size)
			work.Go(func() {
				if n, err := up.WriteChunk(t.Context(), 0, bodyOf(id, 0, at)); n != at || err != nil {
					t.Errorf("upload %s: %d bytes, %v", id, n, err)
				}
				wrong := io.MultiReader(&slowBody{bodyOf(compared+"other", at, at+150_000), 400}, iotest.ErrReader(tusd.ErrUnverified))
				if _, err := c.writer(up, false)(at, wrong); !errors.Is(err, tusd.ErrUnverified) {
					t.Errorf("upload %s: %v", id, err)
				}
				if c.tailObjects() > uploads { // the first 1000 bytes of each are a tail object, too
					flushed.Store(true)
				}
				if err := c.store.Rewind(t.Context(), up, at); err != nil {
					t.Errorf("upload %s: %v", id, err)
				}
				if info, err := up.GetInfo(t.Context()); err != nil || info.Offset != at {
					t.Errorf("upload %s: the offset is %d, %v; want %d", id, info.Offset, err, at)
				}
				_, lease = c.nextRequest(lease, id)
				c.resume(lease, id, at, size, false)
				c.wantContent(id, size)
			})
		}
		work.Wait()
		if !flushed.Load() {
			t.Error("nothing was flushed")
		}
		c.wantNothingLeft()
	})
}
