package s3store_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store"
)

// lateClient aborts calls for parts, which reach the service later.
type lateClient struct {
	s3store.Client

	mu   sync.Mutex
	lose bool
	late []s3store.UploadPart
}

func (c *lateClient) UploadPart(ctx context.Context, in s3store.UploadPart) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.lose {
		return c.Client.UploadPart(ctx, in)
	}
	body, err := io.ReadAll(in.Body)
	if err != nil {
		return "", err
	}
	in.Body = bytes.NewReader(body)
	c.late = append(c.late, in)
	return "", &s3store.Error{Operation: "UploadPart", Status: http.StatusBadRequest}
}

func (c *lateClient) losing(lose bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lose = lose
}

// arrive lets the aborted calls reach the service.
func (c *lateClient) arrive(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.late) == 0 {
		t.Fatal("no call was aborted")
	}
	for _, in := range c.late {
		if _, err := c.Client.UploadPart(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
}

// A part whose call was aborted may reach the service when other bytes have
// been acknowledged: it replaces none of them, whichever process has gone on.
func TestLatePartReplacesNothing(t *testing.T) {
	for name, quirks := range map[string]s3server.Quirks{
		"conditions": {}, "no conditions": {NoIfMatch: true, NoIfNoneMatch: true},
	} {
		t.Run(name+"/same process", func(t *testing.T) { t.Parallel(); latePart(t, quirks, false) })
		t.Run(name+"/after a restart", func(t *testing.T) { t.Parallel(); latePart(t, quirks, true) })
	}
}

func latePart(t *testing.T, quirks s3server.Quirks, restart bool) {
	const size = 8*testPart + 5
	server := smallServer(t, quirks)
	client := &lateClient{Client: clientOf(t, server)}
	n := startNode(t, testStore(server.Bucket(), client), &tusd.LocalLocker{})
	path := n.create(size)
	n.patch(path, 0, testPart)
	client.losing(true)
	if answer := n.tryPatch(path, testPart, 5*testPart); answer.StatusCode < 400 {
		t.Fatalf("a PATCH whose parts were not stored: status %d", answer.StatusCode)
	}
	client.losing(false)
	if restart {
		n = small(t, server)
	}
	at := n.offset(path)
	for _, to := range []int64{at + testMinPart, at + testMinPart + 2*testPart, size - 5} {
		n.patch(path, at, to)
		at = to
	}
	client.arrive(t)
	n.patch(path, at, size)
	n.wantContent(path, size)
}

// A listed part that was replaced nevertheless (numbers can be scarce) is not
// completed with the bytes of the other.
func TestReplacedPartIsNotCompleted(t *testing.T) {
	const size = 3 * testPart
	server := smallServer(t, s3server.Quirks{})
	n := small(t, server)
	path := n.create(size)
	n.patch(path, 0, 2*testPart)
	multipart := server.Uploads()[0]
	in := s3store.UploadPart{
		Key: multipart.Key, Multipart: multipart.ID, Number: multipart.Parts[0].Number,
		Body: bytes.NewReader(make([]byte, testPart)), Size: testPart,
	}
	if _, err := clientOf(t, server).UploadPart(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	n.want(http.StatusGone, n.tryPatch(path, 2*testPart, size))
	n.want(http.StatusGone, n.request(http.MethodHead, path, nil))
	n.want(http.StatusGone, n.request(http.MethodGet, path, nil))
}
