package s3store_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/storetest"
)

const mib = int64(1) << 20

// startCounted starts a node over a service that counts calls, with the sizes
// of AWS. The service discards large contents.
func startCounted(t *testing.T) (*node, *s3server.Server) {
	server := s3server.Start(t, s3server.Options{Discard: 16 * mib})
	n := startNode(t, s3store.New(server.Bucket(), clientOf(t, server)), &tusd.LocalLocker{})
	recountStarted(t, server, 1)
	return n, server
}

// recountStarted resets the counts when the nodes have started. Each node
// lists the bucket three times to probe it, and three times for unfinished work.
func recountStarted(t *testing.T, server *s3server.Server, nodes int) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for server.Counts()[s3server.ListObjectsV2].Calls < 6*nodes {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the nodes do not list unfinished work")
		}
	}
	server.Recount()
}

// wantCalls fails if the service was called more than most times.
func wantCalls(t *testing.T, server *s3server.Server, most int) {
	t.Helper()
	counts := server.Counts()
	t.Logf("%d calls: %v", counts.Total().Calls, counts)
	if got := counts.Total().Calls; got > most {
		t.Errorf("%d calls, want at most %d: %v", got, most, counts)
	}
}

func TestCallsOfSmallUpload(t *testing.T) {
	n, server := startCounted(t)
	path := n.create(4 << 10)
	n.patch(path, 0, 4<<10)
	wantCalls(t, server, 3)
	n.wantContent(path, 4<<10)
}

func TestCallsOfCreationWithUpload(t *testing.T) {
	n, server := startCounted(t)
	answer := n.request(http.MethodPost, "/files/", storetest.ContentReader("content", 0, 4<<10),
		"Upload-Length", strconv.Itoa(4<<10), "Content-Type", "application/offset+octet-stream")
	n.want(http.StatusCreated, answer)
	wantCalls(t, server, 2)
	n.wantContent(answer.Header.Get("Location")[len(n.server.URL):], 4<<10)
}

func TestCallsOfChunks(t *testing.T) {
	t.Parallel()
	require.LongWithoutRace(t)
	n, server := startCounted(t)
	path := n.create(256 * mib)
	for offset := int64(0); offset < 256*mib; offset += 8 * mib {
		n.patch(path, offset, offset+8*mib)
	}
	wantCalls(t, server, 70)
	n.wantContent(path, 256*mib)
}

func TestCallsOfSmallChunks(t *testing.T) {
	require.WithoutRace(t)
	t.Parallel()
	n, server := startCounted(t)
	path := n.create(64 * mib)
	for offset := int64(0); offset < 64*mib; offset += mib {
		n.patch(path, offset, offset+mib)
	}
	wantCalls(t, server, 160)
	if up := server.Counts().Total().Up; up > 2*64*mib {
		t.Errorf("%d bytes went up, want at most 2.0 times %d", up, 64*mib)
	}
	n.wantContent(path, 64*mib)
}

func TestCallsOfLargeChunk(t *testing.T) {
	t.Parallel()
	require.LongWithoutRace(t)
	const size = 1 << 30
	n, server := startCounted(t)
	path := n.create(size)
	started := time.Now()
	n.patch(path, 0, size)
	parts := server.Counts()[s3server.UploadPart].Calls
	slow := int(time.Since(started) / (5 * time.Second)) // the record is written at least every 5 s
	wantCalls(t, server, 27+parts/10+slow)
}

func TestCallsOfHead(t *testing.T) {
	n, server := startCounted(t)
	path := n.create(64 * mib)
	for _, offset := range []int64{0, mib, 9 * mib} {
		if offset > 0 {
			n.patch(path, n.offset(path), offset)
		}
		server.Recount()
		if got := n.offset(path); got != offset {
			t.Errorf("the offset is %d, want %d", got, offset)
		}
		wantCalls(t, server, 1)
	}
}

// A request makes two calls more if another node had the lock before.
func TestCallsAfterAnotherNode(t *testing.T) {
	server := s3server.Start(t, s3server.Options{})
	locker := &leaseLocker{}
	var nodes []*node
	for range 2 {
		nodes = append(nodes, startNode(t, s3store.New(server.Bucket(), clientOf(t, server)), locker))
	}
	recountStarted(t, server, len(nodes))
	path := nodes[0].create(64 * mib)
	nodes[0].patch(path, 0, 8*mib)
	server.Recount()
	nodes[0].patch(path, 8*mib, 16*mib)
	alone := server.Counts().Total().Calls
	server.Recount()
	nodes[1].patch(path, 16*mib, 24*mib)
	wantCalls(t, server, alone+2)
}

// leaseLocker is a locker that several nodes share.
type leaseLocker struct{ tusd.LocalLocker }

func (*leaseLocker) Scope() tusd.Scope { return tusd.ScopeLease }
