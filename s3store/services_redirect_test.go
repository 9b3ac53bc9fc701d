//go:build linux

package s3store_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/s3services"
	"github.com/tus/tusd/s3store/awsv1"
)

// Real services accept the signature of a redirect, and send its header fields.
func TestRedirectOnServices(t *testing.T) {
	s3services.Each(t, func(t *testing.T, s *s3services.Service) {
		b := newServiceBucket(t, s)
		store := serviceStore(b.name, awsv1.New(b.name, b.api))
		store.RedirectDownloads = time.Hour
		store.Key = "a b+c/{id}/{filename}"
		n := startNode(t, store, &tusd.LocalLocker{})
		path := n.create(1000, "Upload-Metadata", withMetadata("filename", `für "dich" & mich.html`, "filetype", "text/html;charset=utf-8"))
		n.patch(path, 0, 1000)
		target := n.wantRedirect(path)
		answer, body := n.download(http.MethodGet, target)
		n.want(http.StatusOK, answer)
		if body != contentString(1000) {
			t.Errorf("%d bytes come back, or others", len(body))
		}
		for name, want := range map[string]string{
			"Content-Type":        "text/html; charset=utf-8",
			"Content-Disposition": `attachment; filename="f_r _dich_ & mich.html"; filename*=UTF-8''f%C3%BCr%20%22dich%22%20%26%20mich.html`,
		} {
			if got := answer.Header.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		head, _ := n.download(http.MethodHead, n.server.URL+path)
		ranged, body := n.download(http.MethodGet, target, "Range", "bytes=990-", "If-Match", head.Header.Get("ETag"))
		n.want(http.StatusPartialContent, ranged)
		if body != contentString(1000)[990:] {
			t.Errorf("the range is %q", body)
		}
	})
}
