package s3store_test

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"

	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/storetest"
)

const v2Object = "0123456789abcdef0123456789abcdef"

// v2Upload is an upload of tusd v2 in a bucket.
type v2Upload struct {
	t      *testing.T
	server *s3server.Server
	client s3store.Client
	id     string
	parts  []s3store.Part
}

// newV2Upload creates an upload of tusd v2 without parts.
func newV2Upload(t *testing.T, size int64) *v2Upload {
	t.Helper()
	server := smallServer(t, s3server.Quirks{})
	f := &v2Upload{t: t, server: server, client: clientOf(t, server)}
	multipart, err := f.client.CreateMultipart(t.Context(), v2Object, s3store.Attributes{})
	if err != nil {
		t.Fatal(err)
	}
	f.id = v2Object + "+" + multipart
	server.Put(v2Object+".info", fmt.Appendf(nil, `{"ID":%q,"Size":%d,"SizeIsDeferred":false,"Offset":0,`+
		`"MetaData":{"filename":"hello.txt"},"IsPartial":false,"IsFinal":false,"PartialUploads":null,`+
		`"Storage":{"Bucket":%q,"Key":%q,"Type":"s3store"}}`, f.id, size, server.Bucket(), v2Object))
	return f
}

func contentOf(from, to int64) []byte {
	p := make([]byte, to-from)
	storetest.Content("content", from, p)
	return p
}

func (f *v2Upload) part(number int, from, to int64) {
	f.t.Helper()
	etag, err := f.client.UploadPart(f.t.Context(), s3store.UploadPart{
		Key: v2Object, Multipart: f.id[len(v2Object)+1:], Number: number,
		Body: bytes.NewReader(contentOf(from, to)), Size: to - from,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.parts = append(f.parts, s3store.Part{Number: number, Size: to - from, ETag: etag})
}

func (f *v2Upload) tail(from, to int64) { f.server.Put(v2Object+".part", contentOf(from, to)) }

func (f *v2Upload) complete() {
	f.t.Helper()
	if _, err := f.client.CompleteMultipart(f.t.Context(), v2Object, f.id[len(v2Object)+1:], f.parts); err != nil {
		f.t.Fatal(err)
	}
}

func (f *v2Upload) wantRemoval(n *node, path string) {
	f.t.Helper()
	n.want(http.StatusNoContent, n.request(http.MethodDelete, path, nil))
	if left := leftovers(f.server, nil); len(left) > 0 {
		f.t.Errorf("left behind: %q", left)
	}
	n.want(http.StatusNotFound, n.request(http.MethodHead, path, nil))
}

// An upload that tusd v2 has begun can be resumed, in any steps, and removed.
func TestTakeOverUnfinished(t *testing.T) {
	const size = 500_000
	for name, steps := range map[string][]int64{
		"at once": {size}, "with a tail": {101_000, 101_100, 300_000, size}, "with parts": {200_000, 300_000, size},
	} {
		t.Run(name, func(t *testing.T) {
			f := newV2Upload(t, size)
			f.part(1, 0, 50_000)
			f.part(2, 50_000, 90_000)
			f.tail(90_000, 100_000)
			path := "/files/" + f.id
			n := startOn(t, f.server)
			at := n.offset(path)
			if at != 100_000 {
				t.Fatalf("the offset is %d, want 100000", at)
			}
			for _, to := range steps {
				n.patch(path, at, to)
				at = to
				n = startOn(t, f.server) // a new process
				if offset := n.offset(path); offset != at {
					t.Fatalf("the offset is %d, want %d", offset, at)
				}
			}
			n.wantContent(path, size)
			f.wantRemoval(n, path)
		})
	}
}

// Only the parts before a missing part number count.
func TestTakeOverWithMissingPart(t *testing.T) {
	const size = 300_000
	f := newV2Upload(t, size)
	f.part(1, 0, 50_000)
	f.part(3, 100_000, 150_000)
	f.tail(150_000, 150_100)
	path := "/files/" + f.id
	n := startOn(t, f.server)
	if at := n.offset(path); at != 50_000 {
		t.Fatalf("the offset is %d, want 50000", at)
	}
	n.patch(path, 50_000, 60_000)
	n.patch(path, 60_000, size)
	n.wantContent(path, size)
	f.wantRemoval(startOn(t, f.server), path)
}

func TestTakeOverFinished(t *testing.T) {
	const size = 100_000
	f := newV2Upload(t, size)
	f.part(1, 0, 50_000)
	f.part(2, 50_000, size)
	f.complete()
	path := "/files/" + f.id
	n := startOn(t, f.server)
	if at := n.offset(path); at != size {
		t.Fatalf("the offset is %d, want %d", at, size)
	}
	n.wantContent(path, size)
	f.wantRemoval(n, path)
}

// tusd v2 was killed between the last part and the completion.
func TestTakeOverFull(t *testing.T) {
	const size = 100_000
	f := newV2Upload(t, size)
	f.part(1, 0, 50_000)
	f.part(2, 50_000, size)
	path := "/files/" + f.id
	n := startOn(t, f.server)
	if at := n.offset(path); at != size {
		t.Fatalf("the offset is %d, want %d", at, size)
	}
	n.wantContent(path, size)
}

func TestTakeOverAborted(t *testing.T) {
	f := newV2Upload(t, 100_000)
	f.part(1, 0, 50_000)
	f.tail(50_000, 50_100)
	f.server.AbortAll()
	path := "/files/" + f.id
	n := startOn(t, f.server)
	n.want(http.StatusGone, n.request(http.MethodHead, path, nil))
	f.wantRemoval(n, path)
}

// The key of the record alone is not the id of the upload.
func TestTakeOverOnlyByWholeID(t *testing.T) {
	f := newV2Upload(t, 100_000)
	n := startOn(t, f.server)
	for _, id := range []string{v2Object, v2Object + "+other"} {
		n.want(http.StatusNotFound, n.request(http.MethodHead, "/files/"+id, nil))
		n.want(http.StatusNotFound, n.request(http.MethodDelete, "/files/"+id, nil))
	}
	if at := n.offset("/files/" + f.id); at != 0 {
		t.Errorf("the offset is %d", at)
	}
}

// An empty upload of tusd v2 has a multipart upload without parts.
func TestTakeOverEmpty(t *testing.T) {
	f := newV2Upload(t, 0)
	path := "/files/" + f.id
	n := startOn(t, f.server)
	if at := n.offset(path); at != 0 {
		t.Fatalf("the offset is %d, want 0", at)
	}
	n.wantContent(path, 0)
	if left := f.server.Uploads(); len(left) > 0 {
		t.Errorf("a multipart upload is left: %v", left)
	}
	f.wantRemoval(startOn(t, f.server), path)
}

// The same, if one of the calls fails so that the client has to retry.
func TestTakeOverEmptyWithFaults(t *testing.T) {
	for call := 1; ; call++ {
		f := newV2Upload(t, 0)
		rule := s3server.On().Nth(call, s3server.RefuseDone(http.StatusForbidden, "AccessDenied"))
		path := "/files/" + f.id
		n := startOn(t, f.server)
		f.server.Fault(rule.Decide)
		n.request(http.MethodHead, path, nil)
		f.server.Fault(nil)
		n = startOn(t, f.server)
		if at := n.offset(path); at != 0 {
			t.Fatalf("call %d: the offset is %d, want 0", call, at)
		}
		n.wantContent(path, 0)
		if rule.Fired() == 0 {
			return
		}
	}
}
