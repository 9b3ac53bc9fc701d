package s3store_test

import (
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/storetest"
)

// What is refused at a download has a status and no bytes, and ranges that mean
// nothing are passed over.
func TestOddRanges(t *testing.T) {
	n := small(t, smallServer(t, s3server.Quirks{}))
	path := n.create(100)
	n.patch(path, 0, 100)
	for header, want := range map[string]int{
		"bytes=-0": 416, "bytes=100-": 416, "bytes=5-3": 416, "bytes=x": 416,
		"items=0-1": 200, "nonsense": 200, "bytes=0-": 206, "bytes=-100": 206, "bytes=-101": 206, "BYTES=0-9": 206, "bytes=0-9,-0": 206,
	} {
		a := n.want(want, n.request(http.MethodGet, path, nil, "Range", header))
		if want == 416 && a.Header.Get("Content-Range") != "bytes */100" {
			t.Errorf("%s: Content-Range %q", header, a.Header.Get("Content-Range"))
		}
	}
	n.want(412, n.request(http.MethodGet, path, nil, "If-Match", `"other"`))
	n.wantContent(path, 100)
}

// Content that does not match its checksum changes nothing, also not the length
// that comes with it, and content without a byte is none.
func TestRefusedContent(t *testing.T) {
	n := small(t, smallServer(t, s3server.Quirks{}))
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
