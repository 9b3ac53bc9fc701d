package s3store_test

import (
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/internal/tusclient"
	rawhttp "github.com/tus/tusd/internal/wire"
	"github.com/tus/tusd/storetest"
)

// TestUnannouncedChecksums sends chunks with trailing checksums that no Trailer
// field announces. Many parts are listed then, and parts cannot be read.
func TestUnannouncedChecksums(t *testing.T) {
	t.Parallel()
	for name, quirks := range map[string]s3server.Quirks{
		"aws": {}, "equal parts": {EqualParts: true}, "no conditions": {NoIfMatch: true, NoIfNoneMatch: true, NoDeleteObjects: true},
	} {
		t.Run(name, func(t *testing.T) {
			if name != "aws" {
				require.LongWithoutRace(t)
			}
			quirks.MinPart = testMinPart
			server := s3server.Start(t, s3server.Options{Quirks: quirks})
			store := testStore(server.Bucket(), clientOf(t, server))
			store.Profile.EqualParts = quirks.EqualParts
			n := startNode(t, store, &tusd.LocalLocker{})
			const size = 24*testPart + 1000
			for _, at := range []int64{0, 17, testMinPart + 5, testPart + 17, 3 * testPart} { // nothing, tail objects, parts, and both
				for _, to := range []int64{at + 100, at + testPart, size} {
					n.trailingChecksums(at, to, size)
				}
			}
			for _, o := range server.Objects() {
				if strings.Contains(o.Key, ".part") {
					t.Errorf("a tail object is left: %s", o.Key)
				}
			}
		})
	}
}

// trailingChecksums sends a chunk with a wrong checksum and with invalid ones, which
// are refused, and then with the right one.
func (n *node) trailingChecksums(at, to, size int64) {
	n.Helper()
	path := n.create(size)
	if at > 0 {
		n.patch(path, 0, at/2)
		n.patch(path, at/2, at)
	}
	chunk := make([]byte, to-at)
	storetest.Content("content", at, chunk)
	sum := sha1.Sum(chunk)
	right := "Upload-Checksum: sha1 " + base64.StdEncoding.EncodeToString(sum[:])
	wrong := "Upload-Checksum: sha1 " + base64.StdEncoding.EncodeToString(make([]byte, len(sum)))
	for _, c := range []struct {
		status   int
		trailers []string
	}{{460, []string{wrong}}, {400, []string{"Upload-Checksum: sha3 YQ=="}}, {400, []string{right, right}}, {204, []string{right}}} {
		if got := n.patchWithTrailers(path, at, chunk, c.trailers); got != c.status {
			n.Errorf("%d to %d with %.40q: status %d, want %d", at, to, c.trailers, got, c.status)
		}
		want := at
		if c.status == http.StatusNoContent {
			want = to
		}
		if got := n.offset(path); got != want {
			n.Fatalf("%d to %d with %.40q: the offset is %d, want %d", at, to, c.trailers, got, want)
		}
	}
	if to < size {
		n.patch(path, to, size)
	}
	n.wantContent(path, size)
}

// patchWithTrailers sends a chunk with trailers that no Trailer field announces.
func (n *node) patchWithTrailers(path string, offset int64, chunk []byte, trailers []string) (status int) {
	n.Helper()
	r, err := tusclient.New(n.server.Listener.Addr().String()).OpenPatch(path, offset, rawhttp.Unknown)
	if err == nil {
		err = r.Send(chunk, trailers...)
	}
	if err != nil {
		n.Fatal(err)
	}
	answer, err := r.Answer()
	if err != nil {
		n.Fatal(err)
	}
	return answer.Status
}

// A chunk that does not match its checksum changes nothing, not even a length
// that the request declares. Empty content of unknown length counts as no content.
func TestRefusedContent(t *testing.T) {
	n := startOn(t, smallServer(t, s3server.Quirks{}))
	unknown := func() io.Reader { return io.MultiReader(strings.NewReader("")) } // sent without a length
	n.want(http.StatusCreated, n.request(http.MethodPost, "/files/", unknown(), "Upload-Length", "5"))
	path := n.want(http.StatusCreated, n.request(http.MethodPost, "/files/", nil, "Upload-Defer-Length", "1")).Header.Get("Location")[len(n.server.URL):]
	n.patch(path, 0, 10)
	patch := func(sum string) *http.Response {
		return n.request(http.MethodPatch, path, storetest.ContentReader("content", 10, 100), "Content-Type", "application/offset+octet-stream",
			"Upload-Offset", "10", "Upload-Length", "100", "Upload-Checksum", "sha1 "+sum)
	}
	n.want(460, patch(base64.StdEncoding.EncodeToString(make([]byte, sha1.Size))))
	head := n.want(http.StatusOK, n.request(http.MethodHead, path, nil))
	if head.Header.Get("Upload-Defer-Length") != "1" || head.Header.Get("Upload-Offset") != "10" || head.Header.Get("Upload-Length") != "" {
		t.Errorf("a refused PATCH has changed the upload: %v", head.Header)
	}
	content := make([]byte, 90)
	storetest.Content("content", 10, content)
	sum := sha1.Sum(content)
	n.want(http.StatusNoContent, patch(base64.StdEncoding.EncodeToString(sum[:])))
	n.wantContent(path, 100)
}
