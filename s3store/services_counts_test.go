//go:build linux

package s3store_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/s3services"
	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/s3store/awsv1"
	"github.com/tus/tusd/storetest"
)

// Bounds the requests of an upload to a real service. counts_test.go has the same
// bounds for a service in process.
func TestCallsOnVersitygw(t *testing.T) {
	require.WithoutRace(t)
	s := s3services.Versitygw(t)
	for name, test := range map[string]func(*testing.T, *serviceNode){
		"small upload":             callsOfSmall,
		"creation with upload":     callsOfCreationWithUpload,
		"256 MiB in 8 MiB PATCHes": callsOfChunks,
		"64 MiB in 1 MiB PATCHes":  callsOfSmallChunks,
		"large PATCH":              callsOfLarge,
		"HEAD":                     callsOfHead,
	} {
		t.Run(name, func(t *testing.T) { test(t, startServiceNode(t, newServiceBucket(t, s), &tusd.LocalLocker{})) })
	}
	t.Run("after another node", func(t *testing.T) { callsAfterAnother(t, s) })
}

// serviceNode is a node over a bucket of a real service, with the default sizes
// of the store.
type serviceNode struct {
	*node
	bucket *serviceBucket
}

func startServiceNode(t *testing.T, b *serviceBucket, locker tusd.Locker) *serviceNode {
	t.Helper()
	b.requests.recount()
	n := &serviceNode{startNode(t, s3store.New(b.name, awsv1.New(b.name, b.api)), locker), b}
	n.awaitStarted()
	return n
}

// awaitStarted waits until the node has started: it probes the bucket, and then
// lists three kinds of unfinished work.
func (n *serviceNode) awaitStarted() {
	n.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for listed := n.bucket.requests.hasListed; !listed("finishing") || !listed("building") || !listed("removing"); {
		select {
		case <-tick.C:
		case <-deadline:
			n.Fatal("the node does not list unfinished work")
		}
	}
	n.bucket.requests.recount()
}

// wantCalls fails if there were more than most requests since recount.
func (n *serviceNode) wantCalls(most int) (up int64) {
	n.Helper()
	calls, up, list := n.bucket.requests.counted()
	n.Logf("%d calls, %d bytes up: %v", calls, up, list)
	if calls > most {
		n.Errorf("%d calls, want at most %d: %v", calls, most, list)
	}
	return up
}

// chunks uploads from an offset up to another in requests of size bytes.
func (n *serviceNode) chunks(path string, offset, to, size int64) {
	n.Helper()
	for ; offset < to; offset += size {
		n.patch(path, offset, offset+size)
	}
}

func callsOfSmall(t *testing.T, n *serviceNode) {
	path := n.create(4 << 10)
	n.patch(path, 0, 4<<10)
	n.wantCalls(3)
	n.wantContent(path, 4<<10)
}

func callsOfCreationWithUpload(t *testing.T, n *serviceNode) {
	answer := n.request(http.MethodPost, "/files/", storetest.ContentReader("content", 0, 4<<10),
		"Upload-Length", strconv.Itoa(4<<10), "Content-Type", "application/offset+octet-stream")
	n.want(http.StatusCreated, answer)
	n.wantCalls(2)
	n.wantContent(answer.Header.Get("Location")[len(n.server.URL):], 4<<10)
}

func callsOfChunks(t *testing.T, n *serviceNode) {
	path := n.create(256 * mib)
	n.chunks(path, 0, 256*mib, 8*mib)
	n.wantCalls(70)
	n.wantContent(path, 256*mib)
}

func callsOfSmallChunks(t *testing.T, n *serviceNode) {
	path := n.create(64 * mib)
	n.chunks(path, 0, 64*mib, mib)
	if up := n.wantCalls(160); up > 2*64*mib {
		t.Errorf("%d bytes went up, want at most 2.0 times %d", up, 64*mib)
	}
	n.wantContent(path, 64*mib)
}

// callsOfLarge stores 256 MiB, to be fast: 6 of its calls are parts, where they are
// 21 of 27 for a GiB. The record is also written every 5 s.
func callsOfLarge(t *testing.T, n *serviceNode) {
	const size = 256 * mib
	path := n.create(size)
	started := time.Now()
	n.patch(path, 0, size)
	n.wantCalls(27 - 21 + 6 + int(time.Since(started)/(5*time.Second)))
}

func callsOfHead(t *testing.T, n *serviceNode) {
	path := n.create(64 * mib)
	for _, offset := range []int64{0, mib, 9 * mib} {
		if offset > 0 {
			n.patch(path, n.offset(path), offset)
		}
		n.bucket.requests.recount()
		if got := n.offset(path); got != offset {
			t.Errorf("the offset is %d, want %d", got, offset)
		}
		n.wantCalls(1)
	}
}

// callsAfterAnother tests that a request makes two calls more if another node had
// the lock before.
func callsAfterAnother(t *testing.T, s *s3services.Service) {
	first := newServiceBucket(t, s)
	second := first.withOwnClient(t, s)
	locker := &leaseLocker{}
	nodes := []*serviceNode{startServiceNode(t, first, locker), startServiceNode(t, second, locker)}
	path := nodes[0].create(64 * mib)
	nodes[0].patch(path, 0, 8*mib)
	first.requests.recount()
	nodes[0].patch(path, 8*mib, 16*mib)
	alone, _, _ := first.requests.counted()
	nodes[1].patch(path, 16*mib, 24*mib)
	nodes[1].wantCalls(alone + 2)
}
