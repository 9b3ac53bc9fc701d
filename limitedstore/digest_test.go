package limitedstore_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/storetest"
)

// The digest of an upload that was cut off at the limit and continued is that of its bytes.
func TestDigestAfterTheLimit(t *testing.T) {
	for _, checksum := range []bool{false, true} {
		s := serve(t, storetest.NewMemory(), 1000, tusd.Config{Digest: "sha256"}, nil)
		other, url := s.upload(900, 0), s.upload(-1, 0)
		content := make([]byte, 300)
		for i := range content {
			content[i] = byte(i)
		}
		if status := s.patch(url, 0, bytes.NewReader(content)).StatusCode; status != http.StatusInsufficientStorage {
			t.Fatalf("growth is answered %d", status)
		}
		head := s.do(http.MethodHead, url, nil)
		offset, _ := strconv.ParseInt(head.Header.Get("Upload-Offset"), 10, 64)
		if offset != 100 {
			t.Fatalf("the offset is %d", offset)
		}
		s.do(http.MethodDelete, other, nil)
		header := []string{"Upload-Length", "300"}
		if checksum {
			sum := sha256.Sum256(content[offset:])
			header = append(header, "Upload-Checksum", "sha256 "+base64.StdEncoding.EncodeToString(sum[:]))
		}
		if status := s.patch(url, offset, bytes.NewReader(content[offset:]), header...).StatusCode; status != http.StatusNoContent {
			t.Fatalf("the rest is answered %d", status)
		}
		sum := sha256.Sum256(content)
		want := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
		var got string
		wantEventually(t, "the digest is known", func() bool {
			got = s.do(http.MethodHead, url, nil).Header.Get("Repr-Digest")
			return got != ""
		})
		if got != want {
			t.Errorf("the digest is %q, want %q", got, want)
		}
		if u := s.limited.Usage(); u.Stored != 300 || u.Reserved != 300 || !u.Exact {
			t.Errorf("the sums are %+v", u)
		}
	}
}
