package s3store_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/logtest"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/s3server"
)

// Two processes serve requests of one upload, like behind a load balancer. No
// offset falls and no byte is wrong, whatever each of them has cached.
func TestRequestsOnAnyNode(t *testing.T) {
	require.Long(t)
	t.Parallel()
	for name, quirks := range map[string]s3server.Quirks{
		"conditions": {}, "no conditions": {NoIfMatch: true, NoIfNoneMatch: true}, "equal parts": {EqualParts: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := smallServer(t, quirks)
			var nodes []*node
			for range 2 {
				store := testStore(server.Bucket(), clientOf(t, server))
				store.Profile.EqualParts = quirks.EqualParts
				nodes = append(nodes, startNode(t, store, &tusd.LocalLocker{}))
			}
			for seed := range uint64(12) {
				uploadOnAnyNode(t, nodes, rand.New(rand.NewPCG(seed, 1)))
			}
		})
	}
}

func uploadOnAnyNode(t *testing.T, nodes []*node, random *rand.Rand) {
	t.Helper()
	const size = 6*testPart + 333
	any := func() *node { return nodes[random.IntN(len(nodes))] }
	path := any().create(size)
	for at := int64(0); at < size; {
		to := min(size, at+1+random.Int64N([]int64{100, testMinPart, 2 * testPart}[random.IntN(3)]))
		any().patch(path, at, to)
		at = to
		for range random.IntN(3) {
			if offset := any().offset(path); offset != at {
				t.Fatalf("the offset is %d, %d were acknowledged", offset, at)
			}
		}
	}
	for _, n := range nodes {
		n.wantContent(path, size)
	}
}

// The service refuses the call of a node whose cached state is stale. The node
// reads the state again.
func TestNodeWithStaleState(t *testing.T) {
	server := smallServer(t, s3server.Quirks{})
	first, second := startOn(t, server), startOn(t, server)
	const size = 4 * testPart
	path := first.create(size)
	first.patch(path, 0, testPart)
	second.patch(path, testPart, 2*testPart) // its answer is lost: the client retries on the first node
	if answer := first.tryPatch(path, testPart, testPart+testMinPart); answer.StatusCode < 400 {
		t.Errorf("status %d for bytes that are stored", answer.StatusCode)
	}
	if offset := first.offset(path); offset != 2*testPart {
		t.Fatalf("the offset is %d, %d were acknowledged", offset, 2*testPart)
	}
	first.patch(path, 2*testPart, size)
	second.wantContent(path, size)
}

// A refusal shows that another process writes, too. That is logged once.
func TestWarningOfAnotherWriter(t *testing.T) {
	server := smallServer(t, s3server.Quirks{})
	store, log := testStore(server.Bucket(), clientOf(t, server)), new(logtest.Buffer)
	store.Log = slog.New(slog.NewTextHandler(log, nil))
	first, second := startNode(t, store, &tusd.LocalLocker{}), startOn(t, server)
	const size = 8 * testPart
	path := first.create(size)
	for at := int64(0); at < 6*testPart; at += 2 * testPart {
		first.patch(path, at, at+testPart)
		second.patch(path, at+testPart, at+2*testPart) // its answer is lost: the client retries on the first node
		if answer := first.tryPatch(path, at+testPart, at+testPart+testMinPart); answer.StatusCode < 400 {
			t.Errorf("status %d for bytes that are stored", answer.StatusCode)
		}
	}
	if n := strings.Count(log.String(), "several servers on one bucket need a locker that they share"); n != 1 {
		t.Errorf("the warning is logged %d times:\n%s", n, log)
	}
}

// Tail objects of a node with a stale state do not replace those that are stored.
func TestTailObjectsOfNodeWithStaleState(t *testing.T) {
	server := smallServer(t, s3server.Quirks{})
	first, second := startOn(t, server), startOn(t, server)
	const size = testPart
	path := first.create(size)
	first.patch(path, 0, 100)
	second.patch(path, 100, 300)
	if answer := first.tryPatch(path, 100, 200); answer.StatusCode < 400 {
		t.Errorf("status %d for bytes that are stored", answer.StatusCode)
	}
	if offset := first.offset(path); offset != 300 {
		t.Fatalf("the offset is %d, 300 were acknowledged", offset)
	}
	first.patch(path, 300, size)
	second.wantContent(path, size)
	if left := fmt.Sprint(leftovers(server, []string{path[len("/files/"):]})); left != "[]" {
		t.Errorf("left behind: %s", left)
	}
}

// A request that another process has overtaken leaves no multipart upload, which
// would cost until a lifecycle rule aborts it.
func TestOvertakenRequestLeavesNothing(t *testing.T) {
	const size = 4 * testPart
	server := smallServer(t, s3server.Quirks{})
	slow, fast := startOn(t, server), startOn(t, server)
	path := slow.create(size)
	release := make(chan struct{})
	stalled := s3server.On(s3server.UploadPart).First(1, s3server.Stall(release))
	server.Fault(stalled.Decide)
	answer := make(chan int, 1)
	go func() { answer <- slow.tryPatch(path, 0, 2*testPart).StatusCode }()
	waitFor(t, stalled.Reached())
	fast.patch(path, 0, testPart)
	close(release)
	if status := <-answer; status < 400 {
		t.Errorf("the overtaken request: status %d", status)
	}
	if uploads := server.Uploads(); len(uploads) != 1 {
		t.Errorf("there are %d multipart uploads, want the one that the record names", len(uploads))
	}
	fast.patch(path, testPart, size)
	slow.wantContent(path, size)
}
