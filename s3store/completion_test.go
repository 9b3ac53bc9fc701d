package s3store_test

import (
	"context"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store"
)

// A reader that finds all parts listed completes the object. While the writer
// completes it, the readers wait and make no second completion.
func TestReadersWaitForCompletionByWriter(t *testing.T) {
	const size, readers = 3 * testPart, 3
	server := smallServer(t, s3server.Quirks{})
	store := testStore(server.Bucket(), clientOf(t, server))
	n := startNode(t, store, &tusd.LocalLocker{})
	path := n.create(size)
	server.Recount()
	release := make(chan struct{})
	stalled := s3server.On(s3server.CompleteMultipartUpload).First(1, s3server.Stall(release))
	server.Fault(stalled.Decide)
	var work sync.WaitGroup
	work.Go(func() { n.tryPatch(path, 0, size) })
	waitFor(t, stalled.Reached())
	loaded := server.Counts()[s3server.ListObjectsV2].Calls + readers
	for range readers {
		work.Go(func() { readAll(t, store, path[len("/files/"):]) })
	}
	waitUntil(t, func() bool { return server.Counts()[s3server.ListObjectsV2].Calls >= loaded })
	close(release)
	work.Wait()
	if calls := server.Counts()[s3server.CompleteMultipartUpload].Calls; calls != 1 {
		t.Errorf("the multipart upload was completed %d times", calls)
	}
	n.wantContent(path, size)
}

// At some services a complete object is missing for a moment while another
// process completes it again.
func TestObjectIsMissingForAMoment(t *testing.T) {
	const size = 1000
	server := smallServer(t, s3server.Quirks{})
	n := startOn(t, server)
	path := n.create(size)
	n.patch(path, 0, size)
	for _, operation := range []s3server.Operation{s3server.HeadObject, s3server.GetObject} {
		away := s3server.On(operation).And(func(c s3server.Call) bool { return c.Key == path[len("/files/"):] }).
			First(2, s3server.Refuse(http.StatusNotFound, "NoSuchKey"))
		server.Fault(away.Decide)
		n.wantContent(path, size)
		if away.Fired() != 2 {
			t.Errorf("%s: the object was missing %d times", operation, away.Fired())
		}
	}
}

// The offset does not fall to 0 while the object is listed but missing.
func TestOffsetOfMissingObject(t *testing.T) {
	const size = 1000
	server := smallServer(t, s3server.Quirks{})
	path := startOn(t, server).create(size)
	startOn(t, server).patch(path, 0, size)
	n := startOn(t, server) // with an empty cache
	away := s3server.On(s3server.HeadObject).First(1, s3server.Refuse(http.StatusNotFound, "NoSuchKey"))
	server.Fault(away.Decide)
	if offset := n.offset(path); offset != size || away.Fired() != 1 {
		t.Errorf("the offset is %d, %d were acknowledged; the object was missing %d times", offset, size, away.Fired())
	}
	n.wantContent(path, size)
}

// The upload does not fail if a second completion finds no multipart upload
// and, for a moment, no object.
func TestObjectIsMissingWhenCompleting(t *testing.T) {
	const size = 3 * testPart
	server := smallServer(t, s3server.Quirks{CompleteOnce: true})
	n := startOn(t, server)
	path := n.create(size)
	lost := s3server.On(s3server.CompleteMultipartUpload).First(1, s3server.LoseAnswer())
	away := s3server.On(s3server.HeadObject).First(2, s3server.Refuse(http.StatusNotFound, "NoSuchKey"))
	server.Fault(s3server.Together(lost.Decide, away.Decide))
	n.patch(path, 0, size)
	if lost.Fired() != 1 || away.Fired() != 2 {
		t.Errorf("%d answers were lost, and the object was missing %d times", lost.Fired(), away.Fired())
	}
	n.wantContent(path, size)
}

// slowCompletion is a service whose CompleteMultipart takes long, and ends if
// the call is aborted.
type slowCompletion struct {
	*fakeService
	takes time.Duration
}

func (s slowCompletion) CompleteMultipart(ctx context.Context, key, multipart string, parts []s3store.Part) (string, error) {
	select {
	case <-time.After(s.takes): // of the fake clock
		return s.fakeService.CompleteMultipart(ctx, key, multipart, parts)
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// AWS documents that a completion can take several minutes.
func TestCompletionOfManyPartsTakesMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const part = 16 << 10
		const size = 2000 * part
		c := newSimulation(t, 4<<20, part)
		c.store.PreferredPartSize = part
		c.store.Client = slowCompletion{c.service, 2 * time.Minute}
		c.open()
		up, _ := c.create("upload", size)
		c.write(up, "upload", size, bodyOf("upload", 0, size), false)
		c.wantContent("upload", size)
	})
}

// readAll reads an upload. It may be called in any goroutine.
func readAll(tb testing.TB, store *s3store.Store, id string) {
	up, err := store.GetUpload(tb.Context(), nil, id)
	if err != nil {
		tb.Error(err)
		return
	}
	r, err := up.GetReader(tb.Context())
	if err != nil {
		tb.Error(err)
		return
	}
	defer r.Close()
	if _, err := io.Copy(io.Discard, r); err != nil {
		tb.Error(err)
	}
}

func waitFor(tb testing.TB, c <-chan struct{}) {
	tb.Helper()
	select {
	case <-c:
	case <-time.After(30 * time.Second):
		tb.Fatal("the event does not happen")
	}
}

// waitUntil waits until a condition is true.
func waitUntil(tb testing.TB, holds func() bool) {
	tb.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatal("the condition stays false")
		}
	}
}

// A lifecycle rule or an operator has removed the data. The error is
// permanent: a download is answered 404.
func TestRemovedObjectIsNotFound(t *testing.T) {
	const size = 1000
	server := smallServer(t, s3server.Quirks{})
	n := startOn(t, server)
	path := n.create(size)
	n.patch(path, 0, size)
	server.Remove(path[len("/files/"):])
	n.want(http.StatusNotFound, n.request(http.MethodGet, path, nil))
}
