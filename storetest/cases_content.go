package storetest

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
)

const serveContentRule = "ContentServer.ServeContent: GET or HEAD"

var contentCases = []testCase{
	{"content/full", serveContentRule, ServeContent, contentFull},
	{"content/head", serveContentRule, ServeContent, contentHead},
	{"content/ranges", serveContentRule, ServeContent, contentRanges},
	{"content/multiple-ranges", serveContentRule, ServeContent, contentMultipleRanges},
	{"content/unsatisfiable", serveContentRule, ServeContent, contentUnsatisfiable},
	{"content/conditional", serveContentRule, ServeContent, contentConditional},
	{"content/etag", serveContentRule, ServeContent, contentETag},
	{"content/empty", serveContentRule, ServeContent, contentEmpty},
	{"content/cancelled", "ContentServer.ServeContent: nothing has been written", ServeContent, contentCancelled},
	{"content/caller-headers", "ContentServer.ServeContent: Content-Disposition", ServeContent, contentCallerHeaders},
}

const contentSize = 100 << 10

// get calls ServeContent for an upload.
func (e *env) get(id, method string, header ...string) *http.Response {
	e.Helper()
	r := httptest.NewRequest(method, "/", nil).WithContext(e.Context())
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "text/x-upload")
	if err := e.composer.ContentServer.ServeContent(e.Context(), e.view(id), w, r); err != nil {
		e.Fatalf("%s %v: %v", method, header, err)
	}
	return w.Result()
}

// wantResponse checks status and body.
func (e *env) wantResponse(r *http.Response, status int, body string) {
	e.Helper()
	got, err := io.ReadAll(r.Body)
	e.must(err)
	if r.StatusCode != status {
		e.Errorf("status is %d, want %d", r.StatusCode, status)
	}
	if string(got) != body {
		e.Errorf("the body has %d bytes, want %d; the first difference is at %d", len(got), len(body), difference(got, []byte(body)))
	}
}

func (e *env) wantHeader(r *http.Response, name, want string) {
	e.Helper()
	if got := r.Header.Get(name); got != want {
		e.Errorf("%s is %q, want %q", name, got, want)
	}
}

func contentFull(e *env) {
	e.createComplete("a", contentSize)
	r := e.get("a", http.MethodGet)
	e.wantResponse(r, http.StatusOK, bytesOf("a", contentSize))
	e.wantHeader(r, "Content-Length", strconv.Itoa(contentSize))
	e.wantHeader(r, "Accept-Ranges", "bytes")
}

func contentHead(e *env) {
	e.createComplete("a", contentSize)
	r := e.get("a", http.MethodHead)
	e.wantResponse(r, http.StatusOK, "")
	e.wantHeader(r, "Content-Length", strconv.Itoa(contentSize))
	e.wantHeader(r, "ETag", e.get("a", http.MethodGet).Header.Get("ETag"))
}

func contentRanges(e *env) {
	e.createComplete("a", contentSize)
	all := bytesOf("a", contentSize)
	for _, c := range []struct{ ask, answer, body string }{
		{"bytes=0-0", "bytes 0-0/102400", all[:1]},
		{"bytes=10-99", "bytes 10-99/102400", all[10:100]},
		{"bytes=102300-", "bytes 102300-102399/102400", all[102300:]},
		{"bytes=-5", "bytes 102395-102399/102400", all[contentSize-5:]},
		{"bytes=102399-999999999", "bytes 102399-102399/102400", all[contentSize-1:]},
	} {
		r := e.get("a", http.MethodGet, "Range", c.ask)
		e.wantResponse(r, http.StatusPartialContent, c.body)
		e.wantHeader(r, "Content-Range", c.answer)
	}
}

func contentMultipleRanges(e *env) {
	e.createComplete("a", contentSize)
	r := e.get("a", http.MethodGet, "Range", "bytes=0-4,100-104")
	if r.StatusCode == http.StatusOK { // a server may ignore Range
		e.wantResponse(r, http.StatusOK, bytesOf("a", contentSize))
		return
	}
	if r.StatusCode != http.StatusPartialContent || !strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/byteranges") {
		e.Fatalf("status %d, Content-Type %q", r.StatusCode, r.Header.Get("Content-Type"))
	}
	body, err := io.ReadAll(r.Body)
	e.must(err)
	all := bytesOf("a", contentSize)
	for _, part := range []string{all[0:5], all[100:105], "bytes 0-4/102400", "bytes 100-104/102400"} {
		if !strings.Contains(string(body), part) {
			e.Errorf("the multipart body lacks %q", part)
		}
	}
}

func contentUnsatisfiable(e *env) {
	e.createComplete("a", contentSize)
	r := e.get("a", http.MethodGet, "Range", "bytes=102400-")
	if r.StatusCode != http.StatusRequestedRangeNotSatisfiable {
		e.Errorf("status is %d, want 416", r.StatusCode)
	}
	e.wantHeader(r, "Content-Range", "bytes */102400")
}

func contentConditional(e *env) {
	e.createComplete("a", contentSize)
	all, tag := bytesOf("a", contentSize), e.get("a", http.MethodGet).Header.Get("ETag")
	for _, c := range []struct {
		header []string
		status int
		body   string
	}{
		{[]string{"If-None-Match", tag}, http.StatusNotModified, ""},
		{[]string{"If-None-Match", `"other", ` + tag}, http.StatusNotModified, ""},
		{[]string{"If-None-Match", "*"}, http.StatusNotModified, ""},
		{[]string{"If-None-Match", `"other"`}, http.StatusOK, all},
		{[]string{"If-Match", tag}, http.StatusOK, all},
		{[]string{"If-Match", `"other"`}, http.StatusPreconditionFailed, ""},
		{[]string{"Range", "bytes=5-9", "If-Range", tag}, http.StatusPartialContent, all[5:10]},
		{[]string{"Range", "bytes=5-9", "If-Range", `"other"`}, http.StatusOK, all},
	} {
		e.Logf("request with %q", c.header)
		e.wantResponse(e.get("a", http.MethodGet, c.header...), c.status, c.body)
	}
}

func contentETag(e *env) {
	e.createComplete("a", 100)
	e.createComplete("b", 100)
	tag := e.get("a", http.MethodGet).Header.Get("ETag")
	if len(tag) < 3 || tag[0] != '"' || tag[len(tag)-1] != '"' {
		e.Errorf("ETag is %q, want a strong one", tag)
	}
	if other := e.get("b", http.MethodGet).Header.Get("ETag"); other == tag {
		e.Errorf("two uploads have the same ETag %s", tag)
	}
	e.reopen()
	e.wantHeader(e.get("a", http.MethodGet), "ETag", tag)
}

func contentCancelled(e *env) {
	e.createComplete("a", contentSize)
	all := bytesOf("a", contentSize)
	e.sweepCancel(func(ctx context.Context, _ int) error {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx)
		err := e.composer.ContentServer.ServeContent(ctx, e.view("a"), w, r)
		got := w.Body.String()
		switch {
		case err != nil && got != "":
			e.Errorf("error %v, and %d bytes were written", err, len(got))
		case !strings.HasPrefix(all, got):
			e.Errorf("the response has wrong bytes from %d on", difference([]byte(got), []byte(all)))
		}
		return err
	})
}

func contentEmpty(e *env) {
	e.createComplete("empty", 0)
	r := e.get("empty", http.MethodGet)
	e.wantResponse(r, http.StatusOK, "")
	e.wantHeader(r, "Content-Length", "0")
}

func contentCallerHeaders(e *env) {
	e.createComplete("a", 100)
	e.wantHeader(e.get("a", http.MethodGet), "Content-Type", "text/x-upload")
	e.wantHeader(e.get("a", http.MethodGet, "Range", "bytes=1-2"), "Content-Type", "text/x-upload")
}
