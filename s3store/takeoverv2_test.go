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

const foreignObject = "0123456789abcdef0123456789abcdef"

// foreign is an upload as tusd v2 leaves it in a bucket.
type foreign struct {
	t      *testing.T
	server *s3server.Server
	client s3store.Client
	id     string
	parts  []s3store.Part
}

// beginForeign makes an upload of the Content "content".
func beginForeign(t *testing.T, size int64) *foreign {
	t.Helper()
	server := smallServer(t, s3server.Quirks{})
	f := &foreign{t: t, server: server, client: clientOf(t, server)}
	multipart, err := f.client.CreateMultipart(t.Context(), foreignObject, s3store.Attributes{})
	if err != nil {
		t.Fatal(err)
	}
	f.id = foreignObject + "+" + multipart
	server.Put(foreignObject+".info", fmt.Appendf(nil, `{"ID":%q,"Size":%d,"SizeIsDeferred":false,"Offset":0,`+
		`"MetaData":{"filename":"hello.txt"},"IsPartial":false,"IsFinal":false,"PartialUploads":null,`+
		`"Storage":{"Bucket":%q,"Key":%q,"Type":"s3store"}}`, f.id, size, server.Bucket(), foreignObject))
	return f
}

func contentOf(from, to int64) []byte {
	p := make([]byte, to-from)
	storetest.Content("content", from, p)
	return p
}

func (f *foreign) part(number int, from, to int64) {
	f.t.Helper()
	etag, err := f.client.UploadPart(f.t.Context(), s3store.UploadPart{
		Key: foreignObject, Multipart: f.id[len(foreignObject)+1:], Number: number,
		Body: bytes.NewReader(contentOf(from, to)), Size: to - from,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.parts = append(f.parts, s3store.Part{Number: number, Size: to - from, ETag: etag})
}

func (f *foreign) tail(from, to int64) { f.server.Put(foreignObject+".part", contentOf(from, to)) }

func (f *foreign) complete() {
	f.t.Helper()
	if _, err := f.client.CompleteMultipart(f.t.Context(), foreignObject, f.id[len(foreignObject)+1:], f.parts); err != nil {
		f.t.Fatal(err)
	}
}

func (f *foreign) wantGone(n *node, path string) {
	f.t.Helper()
	n.want(http.StatusNoContent, n.request(http.MethodDelete, path, nil))
	if left := leftovers(f.server, nil); len(left) > 0 {
		f.t.Errorf("left behind: %q", left)
	}
	n.want(http.StatusNotFound, n.request(http.MethodHead, path, nil))
}

// An upload that tusd v2 has begun goes on, in any steps, and is removed.
func TestTakeOverUnfinished(t *testing.T) {
	const size = 500_000
	for name, steps := range map[string][]int64{
		"at once": {size}, "with a tail": {101_000, 101_100, 300_000, size}, "with parts": {200_000, 300_000, size},
	} {
		t.Run(name, func(t *testing.T) {
			f := beginForeign(t, size)
			f.part(1, 0, 50_000)
			f.part(2, 50_000, 90_000)
			f.tail(90_000, 100_000)
			path := "/files/" + f.id
			n := small(t, f.server)
			at := n.offset(path)
			if at != 100_000 {
				t.Fatalf("the offset is %d, want 100000", at)
			}
			for _, to := range steps {
				n.patch(path, at, to)
				at = to
				n = small(t, f.server) // a new process
				if offset := n.offset(path); offset != at {
					t.Fatalf("the offset is %d, want %d", offset, at)
				}
			}
			n.wantContent(path, size)
			f.wantGone(n, path)
		})
	}
}

// Only the parts before a hole count.
func TestTakeOverWithHole(t *testing.T) {
	const size = 300_000
	f := beginForeign(t, size)
	f.part(1, 0, 50_000)
	f.part(3, 100_000, 150_000)
	f.tail(150_000, 150_100)
	path := "/files/" + f.id
	n := small(t, f.server)
	if at := n.offset(path); at != 50_000 {
		t.Fatalf("the offset is %d, want 50000", at)
	}
	n.patch(path, 50_000, 60_000)
	n.patch(path, 60_000, size)
	n.wantContent(path, size)
	f.wantGone(small(t, f.server), path)
}

func TestTakeOverFinished(t *testing.T) {
	const size = 100_000
	f := beginForeign(t, size)
	f.part(1, 0, 50_000)
	f.part(2, 50_000, size)
	f.complete()
	path := "/files/" + f.id
	n := small(t, f.server)
	if at := n.offset(path); at != size {
		t.Fatalf("the offset is %d, want %d", at, size)
	}
	n.wantContent(path, size)
	f.wantGone(n, path)
}

// tusd v2 has died between the last part and the completion.
func TestTakeOverFull(t *testing.T) {
	const size = 100_000
	f := beginForeign(t, size)
	f.part(1, 0, 50_000)
	f.part(2, 50_000, size)
	path := "/files/" + f.id
	n := small(t, f.server)
	if at := n.offset(path); at != size {
		t.Fatalf("the offset is %d, want %d", at, size)
	}
	n.wantContent(path, size)
}

func TestTakeOverAborted(t *testing.T) {
	f := beginForeign(t, 100_000)
	f.part(1, 0, 50_000)
	f.tail(50_000, 50_100)
	f.server.AbortAll()
	path := "/files/" + f.id
	n := small(t, f.server)
	n.want(http.StatusGone, n.request(http.MethodHead, path, nil))
	f.wantGone(n, path)
}

// The record's name is no upload of its own.
func TestTakeOverOnlyByWholeID(t *testing.T) {
	f := beginForeign(t, 100_000)
	n := small(t, f.server)
	for _, id := range []string{foreignObject, foreignObject + "+other"} {
		n.want(http.StatusNotFound, n.request(http.MethodHead, "/files/"+id, nil))
		n.want(http.StatusNotFound, n.request(http.MethodDelete, "/files/"+id, nil))
	}
	if at := n.offset("/files/" + f.id); at != 0 {
		t.Errorf("the offset is %d", at)
	}
}

// An upload of nothing has a multipart upload without parts.
func TestTakeOverEmpty(t *testing.T) {
	f := beginForeign(t, 0)
	path := "/files/" + f.id
	n := small(t, f.server)
	if at := n.offset(path); at != 0 {
		t.Fatalf("the offset is %d, want 0", at)
	}
	n.wantContent(path, 0)
	if left := f.server.Uploads(); len(left) > 0 {
		t.Errorf("a multipart upload is left: %v", left)
	}
	f.wantGone(small(t, f.server), path)
}

// The same, if each of the calls fails once so that the client has to ask again.
func TestTakeOverEmptyWithFaults(t *testing.T) {
	for call := 1; ; call++ {
		f := beginForeign(t, 0)
		rule := s3server.On().Nth(call, s3server.RefuseDone(http.StatusForbidden, "AccessDenied"))
		path := "/files/" + f.id
		n := small(t, f.server)
		f.server.Fault(rule.Decide)
		n.request(http.MethodHead, path, nil)
		f.server.Fault(nil)
		n = small(t, f.server)
		if at := n.offsetInTime(path); at != 0 {
			t.Fatalf("call %d: the offset is %d, want 0", call, at)
		}
		n.wantContent(path, 0)
		if rule.Fired() == 0 {
			return
		}
	}
}
