package sdk

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tus/tusd/cmd/tusd-bench/service"
	"github.com/tus/tusd/internal/s3server"
)

const mib = 1 << 20

// testServer is a server of this package, and its S3 service.
type testServer struct {
	t   *testing.T
	s3  *s3server.Server
	url string
}

func startServer(t *testing.T, content string, withoutHash bool) *testServer {
	t.Helper()
	p := &testServer{t: t, s3: service.New(0)}
	endpoint := httptest.NewServer(p.s3)
	t.Cleanup(endpoint.Close)
	handler, err := NewHandler(content, Settings{Endpoint: endpoint.URL, PartSize: 5 * mib, Parts: 2, WithoutHash: withoutHash})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

// request sends a request, and compares the status and offset of the answer.
func (p *testServer) request(method, path string, body io.Reader, status int, offset string, header ...string) http.Header {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, body)
	if err != nil {
		p.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != status || answer.Header.Get("Upload-Offset") != offset {
		p.t.Errorf("%s %s: status %d, offset %q; want %d, %q", method, path, answer.StatusCode, answer.Header.Get("Upload-Offset"), status, offset)
	}
	return answer.Header
}

func (p *testServer) create(length int) (path string) {
	p.t.Helper()
	answer := p.request("POST", BasePath, nil, http.StatusCreated, "", "Upload-Length", fmt.Sprint(length))
	_, path, _ = strings.Cut(answer.Get("Location"), "//")
	return path[strings.Index(path, "/"):]
}

// wantCalls compares the number of parts and objects that were stored, and their
// bytes.
func (p *testServer) wantCalls(parts, objects int, up int64) {
	p.t.Helper()
	counts := p.s3.Counts()
	got := counts[s3server.UploadPart].Up + counts[s3server.PutObject].Up
	if counts[s3server.UploadPart].Calls != parts || counts[s3server.PutObject].Calls != objects || got != up {
		p.t.Errorf("%v; want %d parts and %d objects with %d bytes", counts, parts, objects, up)
	}
}

func TestRelay(t *testing.T) {
	p := startServer(t, Relay, false)
	path := p.create(12*mib + 7)
	content := bytes.Repeat([]byte("0123456"), mib/7)
	p.request("PATCH", path, bytes.NewReader(content), http.StatusNoContent, fmt.Sprint(len(content)), "Upload-Offset", "0")
	p.wantCalls(0, 1, int64(len(content)))
	if o, _ := p.s3.Object(strings.TrimPrefix(path, BasePath) + ".0"); !bytes.Equal(o.Bytes(), content) {
		t.Error("the object has other content")
	}
	p.s3.Recount()
	rest := make([]byte, 12*mib+7-len(content))
	p.request("PATCH", path, bytes.NewReader(rest), http.StatusNoContent, fmt.Sprint(12*mib+7), "Upload-Offset", fmt.Sprint(len(content)))
	p.wantCalls(3, 0, int64(len(rest)))
	p.request("HEAD", path, nil, http.StatusOK, fmt.Sprint(12*mib+7))
	p.request("DELETE", path, nil, http.StatusNoContent, "")
	p.request("HEAD", path, nil, http.StatusNotFound, "")
}

func TestMemory(t *testing.T) {
	for _, withoutHash := range []bool{false, true} {
		p := startServer(t, Memory, withoutHash)
		path := p.create(12 * mib)
		p.request("PATCH", path, nil, http.StatusNoContent, fmt.Sprint(12*mib), "Upload-Offset", "0", OrderHeader, fmt.Sprint(12*mib))
		p.wantCalls(3, 0, 12*mib)
		p.request("PATCH", path, nil, http.StatusInternalServerError, "", "Upload-Offset", fmt.Sprint(12*mib))
	}
}

func TestDrop(t *testing.T) {
	p := startServer(t, Drop, false)
	path := p.create(3 * mib)
	p.request("PATCH", path, bytes.NewReader(make([]byte, 3*mib)), http.StatusNoContent, fmt.Sprint(3*mib), "Upload-Offset", "0")
	p.request("PATCH", path, nil, http.StatusConflict, fmt.Sprint(3*mib), "Upload-Offset", "0")
	p.wantCalls(0, 0, 0)
}

func TestRefusals(t *testing.T) {
	p := startServer(t, Drop, false)
	p.request("POST", BasePath, nil, http.StatusBadRequest, "")
	p.request("POST", BasePath, strings.NewReader("x"), http.StatusBadRequest, "", "Upload-Length", "1")
	p.request("PUT", p.create(1), nil, http.StatusMethodNotAllowed, "")
	p.request("GET", BasePath+"unknown", nil, http.StatusNotFound, "")
	for _, args := range [][]string{{"-content", "fry"}, {"-frobnicate"}} {
		if err := Serve(t.Context(), args, io.Discard); err == nil {
			t.Errorf("%q is served", args)
		}
	}
}

// A refusal of the service fails the request, so that it is not measured as a fast upload.
func TestServiceRefuses(t *testing.T) {
	p := startServer(t, Relay, false)
	p.s3.Fault(func(s3server.Call) s3server.Outcome { return s3server.Refuse(http.StatusForbidden, "AccessDenied") })
	p.request("PATCH", p.create(1), strings.NewReader("x"), http.StatusInternalServerError, "", "Upload-Offset", "0")
}

// The content hash can be disabled, as in the daemon. There is no MD5.
func TestContentHashes(t *testing.T) {
	for withoutHash, want := range map[bool]string{
		false: "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881", true: "UNSIGNED-PAYLOAD", // of "x"
	} {
		var header http.Header
		service := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { header = r.Header }))
		defer service.Close()
		u, err := newUploader(Settings{Endpoint: service.URL, PartSize: 5 * mib, Parts: 1, WithoutHash: withoutHash})
		if err != nil {
			t.Fatal(err)
		}
		if err := u.upload(context.Background(), "k", strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
		if got := header.Get("X-Amz-Content-Sha256"); got != want || header.Get("Content-Md5") != "" {
			t.Errorf("hash %q, MD5 %q; want %q and none", got, header.Get("Content-Md5"), want)
		}
	}
}

func TestPattern(t *testing.T) {
	p := newPattern()
	got := make([]byte, 10)
	if n, err := p.ReadAt(got, int64(len(p))*3-4); n != 10 || err != nil || !bytes.Equal(got, append(bytes.Clone(p[len(p)-4:]), p[:6]...)) {
		t.Errorf("%d bytes %v, %v", n, got, err)
	}
}
