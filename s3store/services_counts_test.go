//go:build linux

package s3store_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/s3services"
	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/s3store/awsv1"
	"github.com/tus/tusd/storetest"
)

// What an upload may cost, in requests to a real service. The tables of
// counts_test.go are the same, with a service in process.
func TestCallsOnVersitygw(t *testing.T) {
	s := s3services.Versitygw(t)
	for name, test := range map[string]func(*testing.T, *onService){
		"small upload":             callsOfSmall,
		"creation with upload":     callsOfCreationWithUpload,
		"256 MiB in 8 MiB PATCHes": callsOfChunks,
		"64 MiB in 1 MiB PATCHes":  callsOfSmallChunks,
		"large PATCH":              callsOfLarge,
		"HEAD":                     callsOfHead,
	} {
		t.Run(name, func(t *testing.T) { test(t, startOnService(t, newServiceBucket(t, s), &tusd.LocalLocker{})) })
	}
	t.Run("after another node", func(t *testing.T) { callsAfterAnother(t, s) })
}

// onService is a node over a bucket of a real service, with the sizes that the
// store has by itself.
type onService struct {
	*node
	bucket *serviceBucket
}

func startOnService(t *testing.T, b *serviceBucket, locker tusd.Locker) *onService {
	t.Helper()
	b.wire.recount()
	n := &onService{startNode(t, s3store.New(b.name, awsv1.New(b.name, b.api)), locker), b}
	n.awaitStarted()
	return n
}

// awaitStarted waits for what a node does at its start: it lists two kinds of
// work that was left, after it has probed the bucket.
func (n *onService) awaitStarted() {
	n.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !n.bucket.wire.hasListed("finishing") || !n.bucket.wire.hasListed("building") {
		select {
		case <-tick.C:
		case <-deadline:
			n.Fatal("the node does not look for work that was left")
		}
	}
	n.bucket.wire.recount()
}

// wantCalls compares the requests since recount with what is allowed.
func (n *onService) wantCalls(most int) (up int64) {
	n.Helper()
	calls, up, list := n.bucket.wire.counted()
	n.Logf("%d calls, %d bytes up: %v", calls, up, list)
	if calls > most {
		n.Errorf("%d calls, want at most %d: %v", calls, most, list)
	}
	return up
}

// chunks uploads from an offset up to another in requests of size bytes.
func (n *onService) chunks(path string, offset, to, size int64) {
	n.Helper()
	for ; offset < to; offset += size {
		n.patch(path, offset, offset+size)
	}
}

func callsOfSmall(t *testing.T, n *onService) {
	path := n.create(4 << 10)
	n.patch(path, 0, 4<<10)
	n.wantCalls(3)
	n.wantContent(path, 4<<10)
}

func callsOfCreationWithUpload(t *testing.T, n *onService) {
	answer := n.request(http.MethodPost, "/files/", storetest.ContentReader("content", 0, 4<<10),
		"Upload-Length", strconv.Itoa(4<<10), "Content-Type", "application/offset+octet-stream")
	n.want(http.StatusCreated, answer)
	n.wantCalls(2)
	n.wantContent(answer.Header.Get("Location")[len(n.server.URL):], 4<<10)
}

func callsOfChunks(t *testing.T, n *onService) {
	path := n.create(256 * mib)
	n.chunks(path, 0, 256*mib, 8*mib)
	n.wantCalls(70)
	n.wantContent(path, 256*mib)
}

func callsOfSmallChunks(t *testing.T, n *onService) {
	path := n.create(64 * mib)
	n.chunks(path, 0, 64*mib, mib)
	if up := n.wantCalls(160); up > 2*64*mib {
		t.Errorf("%d bytes went up, want at most 2.0 times %d", up, 64*mib)
	}
	n.wantContent(path, 64*mib)
}

// callsOfLarge has a quarter of a GiB, so that it is quick: 6 parts, where a
// GiB has 21 of its 27 calls. The record is written every five seconds, too.
func callsOfLarge(t *testing.T, n *onService) {
	const size = 256 * mib
	path := n.create(size)
	started := time.Now()
	n.patch(path, 0, size)
	n.wantCalls(27 - 21 + 6 + int(time.Since(started)/(5*time.Second)))
}

func callsOfHead(t *testing.T, n *onService) {
	path := n.create(64 * mib)
	for _, offset := range []int64{0, mib, 9 * mib} {
		if offset > 0 {
			n.patch(path, n.offset(path), offset)
		}
		n.bucket.wire.recount()
		if got := n.offset(path); got != offset {
			t.Errorf("the offset is %d, want %d", got, offset)
		}
		n.wantCalls(1)
	}
}

// callsAfterAnother has a request after another node held the upload, which
// makes two calls more than one on the node that held it last.
func callsAfterAnother(t *testing.T, s *s3services.Service) {
	first := newServiceBucket(t, s)
	second := first.withOwnClient(t, s)
	locker := &leasing{}
	nodes := []*onService{startOnService(t, first, locker), startOnService(t, second, locker)}
	path := nodes[0].create(64 * mib)
	nodes[0].patch(path, 0, 8*mib)
	first.wire.recount()
	nodes[0].patch(path, 8*mib, 16*mib)
	alone, _, _ := first.wire.counted()
	nodes[1].patch(path, 16*mib, 24*mib)
	nodes[1].wantCalls(alone + 2)
}
