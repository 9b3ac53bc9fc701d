package s3store_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/logtest"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store"
)

// lateClient fails calls of UploadPart, and executes them later.
type lateClient struct {
	s3store.Client

	mu   sync.Mutex
	fail bool
	late []s3store.UploadPart
}

func (c *lateClient) UploadPart(ctx context.Context, in s3store.UploadPart) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.fail {
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

func (c *lateClient) setFailing(fail bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = fail
}

// execute sends the failed calls to the service.
func (c *lateClient) execute(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.late) == 0 {
		t.Fatal("no call has failed")
	}
	for _, in := range c.late {
		if _, err := c.Client.UploadPart(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
}

// A part whose call was aborted may reach the service after other bytes were
// acknowledged. It replaces none of them, whichever process has stored them.
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
	client.setFailing(true)
	if answer := n.tryPatch(path, testPart, 5*testPart); answer.StatusCode < 400 {
		t.Fatalf("a PATCH whose parts were not stored: status %d", answer.StatusCode)
	}
	client.setFailing(false)
	if restart {
		n = startOn(t, server)
	}
	at := n.offset(path)
	for _, to := range []int64{at + testMinPart, at + testMinPart + 2*testPart, size - 5} {
		n.patch(path, at, to)
		at = to
	}
	client.execute(t)
	n.patch(path, at, size)
	n.wantContent(path, size)
}

// If a listed part was replaced nevertheless (numbers can be scarce), the upload
// fails: it does not complete with other bytes.
func TestReplacedPartIsNotCompleted(t *testing.T) {
	const size = 3 * testPart
	server := smallServer(t, s3server.Quirks{})
	store, log := testStore(server.Bucket(), clientOf(t, server)), new(logtest.Buffer)
	store.Log = slog.New(slog.NewTextHandler(log, nil))
	n := startNode(t, store, &tusd.LocalLocker{})
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
	if lines := log.LinesWith("level=ERROR"); len(lines) != 1 || !strings.Contains(lines[0], path[len("/files/"):]) {
		t.Errorf("the log does not name the upload: %q", lines)
	}
}
