package s3store_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/storetest"
)

// startRedirecting starts a node that redirects downloads to the service.
func startRedirecting(t *testing.T, server *s3server.Server) *node {
	t.Helper()
	store := testStore(server.Bucket(), clientOf(t, server))
	store.RedirectDownloads = time.Hour
	return startNode(t, store, &tusd.LocalLocker{})
}

// download sends a request without header fields of tus, and follows no redirect.
func (n *node) download(method, address string, header ...string) (*http.Response, string) {
	n.Helper()
	ctx, cancel := context.WithTimeout(n.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		n.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r)
	if err != nil {
		n.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		n.Fatal(err)
	}
	return answer, string(body)
}

// wantRedirect fails unless a GET is redirected, and returns the Location.
func (n *node) wantRedirect(path string, header ...string) string {
	n.Helper()
	answer, body := n.download(http.MethodGet, n.server.URL+path, header...)
	n.want(http.StatusFound, answer)
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "Content-Type": "", "Content-Disposition": "", "Content-Length": "0",
	} {
		if got := answer.Header.Get(name); got != want {
			n.Errorf("%s of the redirect is %q, want %q", name, got, want)
		}
	}
	if body != "" {
		n.Errorf("the redirect says %q", body)
	}
	return answer.Header.Get("Location")
}

func contentString(size int64) string {
	bytes := make([]byte, size)
	storetest.Content("content", 0, bytes)
	return string(bytes)
}

func TestRedirectedDownload(t *testing.T) {
	for name, size := range map[string]int64{"one call": 1000, "parts": 3*testPart + 1, "nothing": 0} {
		t.Run(name, func(t *testing.T) {
			server := smallServer(t, s3server.Quirks{})
			n := startRedirecting(t, server)
			path := n.create(size, "Upload-Metadata", withMetadata("filename", "für.png", "filetype", "image/png"))
			if size > 0 {
				n.patch(path, 0, size)
			}
			answer, body := n.download(http.MethodGet, n.wantRedirect(path))
			n.want(http.StatusOK, answer)
			if body != contentString(size) {
				t.Errorf("%d bytes come from the service, or others than the upload's %d", len(body), size)
			}
		})
	}
}

// Every redirected download is an attachment under the client's file name: the
// service sends no header that stops a browser from running the content.
func TestRedirectIsAnAttachment(t *testing.T) {
	server := smallServer(t, s3server.Quirks{})
	n := startRedirecting(t, server)
	for _, c := range []struct{ filetype, wantType, wantDisposition string }{
		{"image/png", "image/png", `attachment; filename="f_r.png"; filename*=UTF-8''f%C3%BCr.png`},
		{"text/html", "text/html", `attachment; filename="f_r.png"; filename*=UTF-8''f%C3%BCr.png`},
		{"text/plain; a=\"b\tc\"", "application/octet-stream", `attachment; filename="f_r.png"; filename*=UTF-8''f%C3%BCr.png`},
		{"no type", "application/octet-stream", `attachment; filename="f_r.png"; filename*=UTF-8''f%C3%BCr.png`},
	} {
		path := n.create(5, "Upload-Metadata", withMetadata("filename", "für.png", "filetype", c.filetype))
		n.patch(path, 0, 5)
		fromService, _ := n.download(http.MethodGet, n.wantRedirect(path))
		fromServer, _ := n.download(http.MethodHead, n.server.URL+path)
		for _, answer := range []*http.Response{fromService, fromServer} {
			if got := answer.Header.Get("Content-Type"); got != c.wantType {
				t.Errorf("%s: type %q, want %q", c.filetype, got, c.wantType)
			}
			if got := answer.Header.Get("Content-Disposition"); got != c.wantDisposition {
				t.Errorf("%s: disposition %q, want %q", c.filetype, got, c.wantDisposition)
			}
		}
	}
}

// The server answers HEAD, as the URL is signed for GET. The service accepts the
// ETag of that answer in conditions.
func TestHeadIsNotRedirected(t *testing.T) {
	n := startRedirecting(t, smallServer(t, s3server.Quirks{}))
	path := n.create(1000)
	n.patch(path, 0, 1000)
	head, _ := n.download(http.MethodHead, n.server.URL+path)
	n.want(http.StatusOK, head)
	if got := head.Header.Get("Content-Length"); got != "1000" {
		t.Errorf("Content-Length is %q", got)
	}
	target := n.wantRedirect(path)
	ranged, body := n.download(http.MethodGet, target, "Range", "bytes=10-19", "If-Range", head.Header.Get("ETag"))
	n.want(http.StatusPartialContent, ranged)
	if body != contentString(1000)[10:20] {
		t.Errorf("the range is %q", body)
	}
	unchanged, _ := n.download(http.MethodGet, target, "If-None-Match", head.Header.Get("ETag"))
	n.want(http.StatusNotModified, unchanged)
}

// The URL expires after the configured time. A redirect makes no call.
func TestRedirectExpires(t *testing.T) {
	server := smallServer(t, s3server.Quirks{})
	n := startRedirecting(t, server)
	path := n.create(1000)
	n.patch(path, 0, 1000)
	server.Recount()
	target := n.wantRedirect(path)
	if calls := server.Counts()[s3server.HeadObject].Calls + server.Counts()[s3server.GetObject].Calls; calls != 0 {
		t.Errorf("a redirect makes %d calls", calls)
	}
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	if got := u.Query().Get("X-Amz-Expires"); got != "3600" {
		t.Errorf("the URL expires after %s s", got)
	}
}

// Only complete uploads have an object to redirect to.
func TestIncompleteIsNotRedirected(t *testing.T) {
	n := startRedirecting(t, smallServer(t, s3server.Quirks{}))
	path := n.create(1000)
	n.patch(path, 0, 10)
	for _, header := range [][]string{{}, {"Tus-Resumable", "1.0.0"}} {
		answer, _ := n.download(http.MethodGet, n.server.URL+path, header...)
		n.want(http.StatusConflict, answer)
	}
}

// A redirect tells a client of the IETF draft that the upload is complete. Content
// with a Content-Encoding is not redirected, as the URL cannot carry it.
func TestRedirectForTheDraft(t *testing.T) {
	n := startRedirecting(t, smallServer(t, s3server.Quirks{}))
	for coding, want := range map[string]int{"": http.StatusFound, "gzip": http.StatusOK} {
		header := []string{"Upload-Draft-Interop-Version", "8", "Upload-Complete", "?1"}
		if coding != "" {
			header = append(header, "Content-Encoding", coding)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.server.URL+"/files/", strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		created, err := n.server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		created.Body.Close()
		answer, _ := n.download(http.MethodGet, created.Header.Get("Location"), "Upload-Draft-Interop-Version", "8", "Accept-Encoding", "gzip")
		if answer.StatusCode != want || answer.Header.Get("Upload-Complete") != "?1" || answer.Header.Get("Content-Encoding") != coding {
			t.Errorf("coding %q: status %d, want %d; %v", coding, answer.StatusCode, want, answer.Header)
		}
	}
}

// A POST that X-HTTP-Method-Override turns into GET is redirected as GET.
func TestRedirectOfAnOverriddenMethod(t *testing.T) {
	n := startRedirecting(t, smallServer(t, s3server.Quirks{}))
	path := n.create(5)
	n.patch(path, 0, 5)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-HTTP-Method-Override", http.MethodGet)
	answer, err := n.server.Client().Do(r) // follows the redirect
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); string(body) != contentString(5) {
		t.Errorf("status %d, %q, %v", answer.StatusCode, body, err)
	}
}

// A download is not redirected if the URL would be too long for proxies.
func TestRedirectTooLong(t *testing.T) {
	n := startRedirecting(t, smallServer(t, s3server.Quirks{}))
	path := n.create(5, "Upload-Metadata", withMetadata("filename", strings.Repeat("ü", 1000)))
	n.patch(path, 0, 5)
	answer, body := n.download(http.MethodGet, n.server.URL+path)
	n.want(http.StatusOK, answer)
	if body != contentString(5) || answer.Header.Get("Content-Length") != strconv.Itoa(5) {
		t.Errorf("content %q, %v", body, answer.Header)
	}
}

// A failure to sign is transient. The error has no header fields of the content.
func TestRedirectThatCannotBeSigned(t *testing.T) {
	server := smallServer(t, s3server.Quirks{})
	store := testStore(server.Bucket(), unsigned{clientOf(t, server)})
	store.RedirectDownloads = time.Hour
	n := startNode(t, store, &tusd.LocalLocker{})
	path := n.create(5)
	n.patch(path, 0, 5)
	answer, _ := n.download(http.MethodGet, n.server.URL+path)
	n.want(http.StatusServiceUnavailable, answer)
	if got := answer.Header.Get("Content-Disposition") + answer.Header.Get("Location"); got != "" {
		t.Errorf("the error comes with %q", got)
	}
}

// unsigned is a client that cannot sign URLs.
type unsigned struct{ s3store.Client }

func (unsigned) PresignGet(string, s3store.Attributes, time.Duration) (string, error) {
	return "", io.ErrUnexpectedEOF
}
