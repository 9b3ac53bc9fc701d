package s3store_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/storetest"
)

// Many uploads share a memory that has room for few of them: all end, and the
// memory is as free afterwards as before.
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

// A body that trickles does not keep the memory that others wait for.
func TestTricklingBodyLetsGo(t *testing.T) {
	const size = 4 * testPart
	server := smallServer(t, s3server.Quirks{})
	store := testStore(server.Bucket(), clientOf(t, server))
	store.BufferMemory = 1 << 20 // four blocks
	n := startNode(t, store, &tusd.LocalLocker{})
	var work sync.WaitGroup
	for range 6 {
		path := n.create(size)
		work.Go(func() {
			body := &trickle{storetest.ContentReader("content", 0, size), 40}
			answer := n.request(http.MethodPatch, path, body, "Content-Type", "application/offset+octet-stream", "Upload-Offset", "0")
			if answer.StatusCode != http.StatusNoContent {
				t.Errorf("status %d", answer.StatusCode)
			}
			n.wantContent(path, size)
		})
	}
	work.Wait()
}

// trickle delivers a little at a time for so many reads, and then the rest.
type trickle struct {
	r interface {
		Read(p []byte) (int, error)
	}
	slow int
}

func (s *trickle) Read(p []byte) (int, error) {
	if s.slow > 0 {
		s.slow--
		<-time.After(50 * time.Millisecond)
		p = p[:min(len(p), 500)]
	}
	return s.r.Read(p)
}
