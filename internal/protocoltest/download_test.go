package protocoltest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"testing"

	"github.com/tus/tusd"
)

func TestDownload(t *testing.T) {
	run(t, []scenario{
		{"whole", "GET answers the bytes, with or without Tus-Resumable, and forbids sniffing and scripts", downloadWhole},
		{"ranges", "GET answers ranges with 206 and impossible ones with 416", downloadRanges},
		{"odd_ranges", "a range that names no byte is 416; a unit that is not known, or a method that has no ranges, is 200", downloadOddRanges},
		{"refusals", "every refusal has a code in body, metric and answer", downloadRefusals},
		{"many_ranges", "very many ranges become few or 416; few stay as they are", downloadManyRanges},
		{"conditional", "GET with the ETag answers 304, with another the bytes; If-Match and If-Range hold", downloadConditional},
		{"etags_differ", "two uploads have different ETags, and one upload keeps its own", downloadETags},
		{"unfinished", "GET of an unfinished upload: 409 ERR_INCOMPLETE_UPLOAD", downloadUnfinished},
		{"inline_types", "only harmless media types are shown in place", downloadInline},
		{"file_names", "a file name comes back in Content-Disposition", downloadNames},
		{"hostile_names", "a hostile file name or type injects nothing and names no path", downloadHostile},
		{"empty", "GET of an empty upload: no bytes", downloadEmpty},
		{"partial", "a finished partial upload can be read", downloadPartial},
		{"without_content_server", "a store that knows no ranges still serves the bytes", downloadPlainStream},
	})
}

func downloadWhole(e *env) {
	data := content(1 << 20)
	u := e.createFull(data)
	for _, header := range [][]string{nil, {version}} {
		a := e.get(u, header...).status(200).header("Content-Length", "1048576").header("Accept-Ranges", "bytes")
		a.headerMatches("Content-Security-Policy", "sandbox").header("Content-Type", "application/octet-stream")
		a.headerMatches("Content-Disposition", "^attachment")
		if !bytes.Equal(a.Body, data) {
			e.Errorf("GET has %s, want %s", digest(a.Body), digest(data))
		}
	}
}

func downloadRanges(e *env) {
	data := content(100)
	u := e.createFull(data)
	for _, r := range []struct {
		spec     string
		from, to int // of the bytes that are wanted
	}{{"0-9", 0, 10}, {"90-", 90, 100}, {"-5", 95, 100}, {"50-1000", 50, 100}} {
		a := e.get(u, "Range: bytes="+r.spec).status(206).header("Content-Range", fmt.Sprintf("bytes %d-%d/100", r.from, r.to-1))
		if !bytes.Equal(a.Body, data[r.from:r.to]) {
			e.Errorf("Range %s has %s, want %s", r.spec, digest(a.Body), digest(data[r.from:r.to]))
		}
	}
	e.raw(http.MethodGet, u, nil, "Range: bytes=100-").status(416).header("Content-Range", "bytes */100").header("Tus-Resumable", "1.0.0")
	e.get(u, "Range: bytes=0-4,10-14").status(206).headerMatches("Content-Type", "^multipart/byteranges")
}

func downloadOddRanges(e *env) {
	data := content(100)
	u, empty := e.createFull(data), e.create(0)
	huge := strings.Repeat("9", 30)
	for _, spec := range []string{"-0", "100-", "100-200", "-0,-0", huge + "-", "200-,-0", huge + "-" + huge, "x", "5-3", "-", "", "1-2-3", "--1", "+1-2"} {
		e.get(u, "Range: bytes="+spec).status(416).code("ERR_RANGE_NOT_SATISFIABLE").header("Content-Range", "bytes */100")
	}
	for _, field := range []string{"items=0-1", "items=-0", "seconds=x", "nonsense", "=0-1", "bytes", "bytes 0-1"} {
		a := e.get(u, "Range: "+field).status(200).header("Content-Length", "100").without("Content-Range")
		if !bytes.Equal(a.Body, data) {
			e.Errorf("Range %s has %s", field, digest(a.Body))
		}
	}
	for spec, want := range map[string]string{
		"0-" + huge: "0-99", "-" + huge: "0-99", "-100": "0-99", "-101": "0-99", "99-": "99-99", "0-0,-0": "0-0", " 0-0 , ": "0-0", "0-0,200-": "0-0",
	} {
		e.get(u, "Range: bytes="+spec).status(206).header("Content-Range", "bytes "+want+"/100")
	}
	e.get(u, "Range: BYTES=0-9").status(206).header("Content-Range", "bytes 0-9/100")
	e.get(u, "Range: bytes=20-29,0-9").status(206).headerMatches("Content-Type", "^multipart/byteranges")
	for _, spec := range []string{"-0", "0-", "-5", "items=0-1"} {
		e.get(empty, "Range: bytes="+spec).status(200, 204, 416)
	}
	e.head(u).status(200)
	e.do(http.MethodHead, u, nil, version, "Range: bytes=0-9").status(200).without("Content-Range")
}

func downloadRefusals(e *env) {
	u := e.createFull(content(100))
	tag := e.get(u).Header.Get("ETag")
	e.get(u, `If-Match: "other"`).status(412).code("ERR_PRECONDITION_FAILED").without("Tus-Version", "Content-Disposition", "ETag", "Last-Modified")
	e.get(u, "If-Match: "+tag, "Range: bytes=100-").status(416).code("ERR_RANGE_NOT_SATISFIABLE").
		header("Content-Range", "bytes */100").without("Content-Disposition", "Content-Encoding")
	e.get(u, "If-Unmodified-Since: Mon, 01 Jan 1990 00:00:00 GMT").status(200, 412)
	counted := e.handler.Metrics().ErrorsTotal()
	for _, refusal := range []tusd.ErrorCount{{Code: "ERR_PRECONDITION_FAILED", Status: 412}, {Code: "ERR_RANGE_NOT_SATISFIABLE", Status: 416}} {
		if counted[refusal] == 0 {
			e.Errorf("the metric does not count %v: %v", refusal, counted)
		}
	}
}

func downloadManyRanges(e *env) {
	data := content(100_000)
	u := e.createFull(data)
	spaced := func(n, gap int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf("%d-%d", i*gap, i*gap))
		}
		return "Range: bytes=" + strings.Join(list, ",")
	}
	few := e.get(u, spaced(32, 1000)).status(206).headerMatches("Content-Type", "^multipart/byteranges")
	if n := bytes.Count(few.Body, []byte("Content-Range: ")); n != 32 {
		e.Errorf("32 ranges have %d parts", n)
	}
	e.raw(http.MethodGet, u, nil, spaced(33, 1000)).status(416).header("Content-Range", "bytes */100000").header("Tus-Resumable", "1.0.0")
	e.raw(http.MethodGet, u, nil, spaced(33, 1000)+",x").status(416)
	near := e.get(u, spaced(1000, 100)).status(206).header("Content-Range", "bytes 0-99900/100000")
	if !bytes.Equal(near.Body, data[:99901]) {
		e.Errorf("ranges that nearly touch have %s, want %s", digest(near.Body), digest(data[:99901]))
	}
	two := e.get(u, "Range: bytes="+strings.Repeat("50000-50009, 5-5, -10, 99999999-,, ", 500)+"0-4").status(206)
	for _, want := range []string{"bytes 0-5/100000", "bytes 50000-50009/100000", "bytes 99990-99999/100000"} {
		if !bytes.Contains(two.Body, []byte("Content-Range: "+want)) {
			e.Errorf("no part has %s", want)
		}
	}
	tag := few.Header.Get("ETag")
	e.get(u, spaced(33, 1000), "If-None-Match: "+tag).status(304)
	e.get(u, spaced(33, 1000), `If-Range: "other"`).status(200)
	e.get(u, "Range: bytes=0-9", "If-Range: "+strings.Repeat("x", 2000)).status(200)
	empty := e.create(0)
	e.get(empty, spaced(33, 1000)).status(200, 204)
}

func downloadConditional(e *env) {
	u := e.createFull(content(100))
	tag := e.get(u).status(200).Header.Get("ETag")
	if a := e.get(u, "If-None-Match: "+tag).status(304); len(a.Body) > 0 {
		e.Error("304 has a body")
	}
	e.get(u, `If-None-Match: "other"`).status(200)
	e.get(u, "If-Match: "+tag).status(200)
	e.get(u, "Range: bytes=0-9", "If-Range: "+tag).status(206)
	e.get(u, "Range: bytes=0-9", `If-Range: "other"`).status(200)
}

func downloadETags(e *env) {
	a, b := e.createFull(content(100)), e.createFull(content(100))
	tag := e.get(a).headerMatches("ETag", `^"[^"]+"$`).Header.Get("ETag")
	if tag == e.get(b).Header.Get("ETag") {
		e.Errorf("two uploads have the ETag %s", tag)
	}
	e.restart()
	e.get(a).status(200).header("ETag", tag)
}

func downloadUnfinished(e *env) {
	for _, u := range []string{e.create(100), e.createDeferred()} {
		e.get(u, version).status(409).code("ERR_INCOMPLETE_UPLOAD")
		e.patch(u, 0, content(40)).status(204)
		e.get(u, version, "Range: bytes=0-9").status(409).code("ERR_INCOMPLETE_UPLOAD")
	}
	e.get("/files/unknown", version).status(404)
}

// encoded is an Upload-Metadata line with one pair.
func encoded(key, value string) string {
	return "Upload-Metadata: " + key + " " + base64.StdEncoding.EncodeToString([]byte(value))
}

func downloadInline(e *env) {
	inline := []string{
		"text/plain", "image/png", "image/jpeg", "image/gif", "image/bmp", "image/webp", "audio/wave", "audio/wav", "audio/x-wav",
		"audio/x-pn-wav", "audio/webm", "audio/ogg", "video/mp4", "video/webm", "video/ogg", "application/ogg",
	}
	for _, media := range inline {
		e.get(e.createFull([]byte("x"), encoded("filetype", media))).header("Content-Type", media).headerMatches("Content-Disposition", "^inline")
	}
	e.get(e.createFull([]byte("x"), encoded("filetype", "text/plain; charset=utf-8"))).
		header("Content-Type", "text/plain; charset=utf-8").headerMatches("Content-Disposition", "^inline")
	for _, media := range []string{"text/html", "image/svg+xml", "application/pdf", "application/xhtml+xml", "text/xml", "text/javascript"} {
		e.get(e.createFull([]byte("x"), encoded("filetype", media))).header("Content-Type", media).headerMatches("Content-Disposition", "^attachment")
	}
	for _, media := range []string{"nonsense", "", "text/plain\r\nX-Evil: 1", "text/ html", "\xff/\xfe", "text/html, text/plain"} {
		e.get(e.createFull([]byte("x"), encoded("filetype", media))).header("Content-Type", "application/octet-stream").
			headerMatches("Content-Disposition", "^attachment").without("X-Evil")
	}
}

func downloadNames(e *env) {
	for _, name := range []string{
		"report.pdf", "two words.txt", "große ☃ 𝄞.txt", "50%.txt", "a;b=c.txt", "plus+and&.txt",
		"हिन्दी.txt", "e\u0301te\u0301.txt", "می\u200cخواهم.doc", "क्\u200dष", "\u05d0\u200f.txt", "👩\u200d👧.png",
	} {
		if got := e.dispositionName(name); got != name {
			e.Errorf("file name %q came back as %q", name, got)
		}
	}
}

// dispositionName makes an upload with a file name, and returns the name that a browser reads
// when it downloads it.
func (e *env) dispositionName(name string) string {
	e.Helper()
	a := e.get(e.createFull([]byte("x"), encoded("filename", name))).status(200).without("X-Evil")
	values := a.Header.Values("Content-Disposition")
	if len(values) != 1 {
		e.Fatalf("Content-Disposition %q", values)
	}
	for _, c := range []byte(values[0]) {
		if c < ' ' || c >= 0x7f {
			e.Errorf("file name %q: byte %#x in Content-Disposition %q", name, c, values[0])
		}
	}
	kind, params, err := mime.ParseMediaType(values[0])
	if err != nil || kind != "attachment" {
		e.Fatalf("file name %q: Content-Disposition %q: %v", name, values[0], err)
	}
	return params["filename"]
}

func downloadHostile(e *env) {
	for _, name := range []string{
		"a\r\nX-Evil: 1", "a\r\n\r\n<script>", "\x00", `quote".txt`, `back\slash`, `a"; filename="b`, "../../etc/passwd", "/etc/passwd",
		`..\..\windows`, "\xff\xfe", "a\u202etxt.exe", "\u202aa", "\u2066a\u2069", "\x7f", strings.Repeat("n", 3000), "%0d%0aX-Evil: 1", "..", ".",
	} {
		if got := e.dispositionName(name); strings.ContainsAny(got, "/\\\r\n\x00\u202e\u202a\u2066") {
			e.Errorf("file name %q came back as %q, which is a path or has control characters", name, got)
		}
	}
}

func downloadEmpty(e *env) {
	if a := e.get(e.create(0)).status(200, 204); len(a.Body) > 0 {
		e.Errorf("an empty upload has %d bytes", len(a.Body))
	}
}

func downloadPartial(e *env) {
	data := content(100)
	if a := e.get(e.createPartial(data)).status(200); !bytes.Equal(a.Body, data) {
		e.Errorf("GET has %s, want %s", digest(a.Body), digest(data))
	}
}

func downloadPlainStream(e *env) {
	composer := tusd.NewStoreComposer()
	composer.Core = e.config.StoreComposer.Core
	e.config.StoreComposer = composer
	data := content(100)
	u := e.createFull(data)
	if a := e.get(u, "Range: bytes=0-9").status(200).header("Content-Length", "100"); !bytes.Equal(a.Body, data) {
		e.Errorf("GET has %s, want %s", digest(a.Body), digest(data))
	}
	e.raw(http.MethodHead, u, nil).status(200).header("Content-Length", "100").header("Upload-Offset", "100")
	e.get(e.create(0)).status(200, 204)
}
