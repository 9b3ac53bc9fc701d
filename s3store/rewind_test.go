package s3store_test

import (
	"crypto/sha1"
	"encoding/base64"
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

// TestUnannouncedChecksums sends chunks whose checksum comes last and without an
// announcement. Parts cannot be read again, and many are listed by then.
func TestUnannouncedChecksums(t *testing.T) {
	t.Parallel()
	for name, quirks := range map[string]s3server.Quirks{
		"aws": {}, "equal parts": {EqualParts: true}, "no conditions": {NoIfMatch: true, NoIfNoneMatch: true, NoDeleteObjects: true},
	} {
		t.Run(name, func(t *testing.T) {
			if name != "aws" {
				require.Long(t)
			}
			quirks.MinPart = testMinPart
			server := s3server.Start(t, s3server.Options{Quirks: quirks})
			store := testStore(server.Bucket(), clientOf(t, server))
			store.Profile.EqualParts = quirks.EqualParts
			n := startNode(t, store, &tusd.LocalLocker{})
			const size = 24*testPart + 1000
			for _, at := range []int64{0, 17, testMinPart + 5, testPart + 17, 3 * testPart} { // nothing, tail objects, parts, and both
				for _, to := range []int64{at + 100, at + testPart, size} {
					n.lateChecksums(at, to, size)
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

// lateChecksums has an upload refuse a chunk from at to to whose checksum is wrong,
// and one that is of no use, and take it with the right one.
func (n *node) lateChecksums(at, to, size int64) {
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
		if got := n.patchLate(path, at, chunk, c.trailers); got != c.status {
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

// patchLate sends a chunk with trailers that it has not announced.
func (n *node) patchLate(path string, offset int64, chunk []byte, trailers []string) (status int) {
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
