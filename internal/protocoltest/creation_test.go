package protocoltest

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/tus/tusd"
)

func TestCreation(t *testing.T) {
	run(t, []scenario{
		{"case055_create", "POST with Upload-Length: 201 with Location, HEAD works on it", createPlain},
		{"case056_location", "Location is absolute and resolves against the creation URL", createLocation},
		{"case057_differ", "two POSTs have different Locations", createDiffer},
		{"case059_no_length", "POST without a length: 400, nothing created", createWithoutLength},
		{"case060_bad_length", "POST with an Upload-Length that is no integer from 0 to 2^63-1: 400, nothing created", createBadLength},
		{"case060_length_twice", "POST with two Upload-Length lines: 400, nothing created", createLengthTwice},
		{"case061_empty", "an upload of length 0 is complete at once and finishes once", createEmpty},
		{"case062_patch_empty", "an empty PATCH of an upload of length 0: 204, unchanged", patchZeroLength},
		{"case063_at_the_limit", "POST with Upload-Length = Tus-Max-Size: 201", createAtLimit},
		{"case064_above_the_limit", "POST with Upload-Length = Tus-Max-Size + 1: 413, nothing created", createAboveLimit},
		{"case065_unknown_path", "POST to a path below the creation URL: 404 or 405", createElsewhere},
		{"empty_unknown_length", "content of unknown length without a byte is none", createEmptyStream},
		{"base_path_absolute", "with an absolute base URL Location is below it", createAbsoluteBase},
	})
	run(t, []scenario{
		{"case066_metadata", "metadata with and without value: HEAD shows both", metadataPairs},
		{"case067_no_value", "a key without value, with or without the space: an empty value", metadataNoValue},
		{"case068_bad_base64", "metadata with invalid base64: 400, nothing created", metadataBadBase64},
		{"case069_duplicate_key", "metadata with a key twice: 400, nothing created", metadataDuplicateKey},
		{"case070_malformed", "malformed pairs and empty keys: 400, nothing created", metadataMalformed},
		{"case071_hostile_value", "a value with CR LF or NUL is stored, and never gets into a header decoded", metadataHostileValue},
		{"case072_utf8", "a UTF-8 value comes back byte for byte", metadataUTF8},
		{"case073_large", "8 KiB of metadata: 201; above the cap: 431, nothing created", metadataLarge},
		{"case074_none", "without metadata HEAD has no Upload-Metadata", metadataNone},
		{"metadata_echo", "HEAD returns Upload-Metadata byte for byte as it was sent, also after a restart", metadataEcho},
		{"metadata_lines", "two Upload-Metadata lines are one list", metadataLines},
		{"metadata_list", "spaces, tabs and empty elements between pairs count as nothing", metadataList},
	})
}

func createEmptyStream(e *env) {
	u := e.do(http.MethodPost, "/files/", nil, version, "Upload-Length: 100", chunked).status(201).location()
	e.wantOffset(u, 0)
	u = e.do(http.MethodPost, "/files/", nil, version, "Upload-Length: 100", "Content-Type: text/plain", chunked).status(201).location()
	e.wantOffset(u, 0)
	u = e.do(http.MethodPost, "/files/", nil, version, "Upload-Defer-Length: 1", chunked).status(201).location()
	e.head(u).header("Upload-Defer-Length", "1")
	part := e.createPartial(content(20))
	u = e.do(http.MethodPost, "/files/", nil, version, "Upload-Concat: final;"+part, chunked).status(201).location()
	e.wantOffset(u, 20)
	u = e.do(http.MethodPost, "/files/", nil, version, octets, "Upload-Concat: final;"+part, chunked).status(201).location()
	e.wantOffset(u, 20)
	before := e.countUploads()
	e.do(http.MethodPost, "/files/", content(1), version, "Upload-Length: 100", chunked).status(415).code("ERR_INVALID_CONTENT_TYPE")
	e.do(http.MethodPost, "/files/", content(1), version, octets, "Upload-Concat: final;"+part, chunked).status(403)
	if after := e.countUploads(); after != before {
		e.Errorf("%d uploads became %d", before, after)
	}
	for _, method := range []string{http.MethodHead, http.MethodGet, http.MethodDelete} {
		e.do(method, part, nil, version, chunked).status(200, 204)
	}
}

func createPlain(e *env) {
	u := e.post("Upload-Length: 100").status(201).location()
	e.wantOffset(u, 0)
	e.head(u).header("Upload-Length", "100")
}

func createLocation(e *env) {
	a := e.post("Upload-Length: 100").status(201)
	base, err := url.Parse(e.server.URL + "/files/")
	if err != nil {
		e.Fatal(err)
	}
	location, err := base.Parse(a.Header.Get("Location"))
	if err != nil || !location.IsAbs() {
		e.Fatalf("Location %q: %v", a.Header.Get("Location"), err)
	}
	e.wantOffset(location.EscapedPath(), 0)
}

func createDiffer(e *env) {
	if a, b := e.create(100), e.create(100); a == b {
		e.Errorf("both are %s", a)
	}
}

func createWithoutLength(e *env) {
	e.post().status(400).code("ERR_INVALID_UPLOAD_LENGTH").without("Location")
	e.wantNoUploads()
}

func createBadLength(e *env) {
	for _, bad := range notIntegers {
		e.post("Upload-Length: " + bad).status(400).code("ERR_INVALID_UPLOAD_LENGTH").without("Location")
	}
	e.wantNoUploads()
}

func createLengthTwice(e *env) {
	e.post("Upload-Length: 100", "Upload-Length: 100").status(400)
	e.post("Upload-Length: 100", "Upload-Length: 200").status(400)
	e.wantNoUploads()
}

func createEmpty(e *env) {
	e.countFinishes()
	u := e.create(0)
	e.head(u).status(200).header("Upload-Offset", "0").header("Upload-Length", "0")
	e.patch(u, 0, nil).status(204)
	e.head(u).status(200)
	e.get(u).status(200, 204)
	if n := e.finished.Load(); n != 1 {
		e.Errorf("finished %d times, want once", n)
	}
}

func patchZeroLength(e *env) {
	u := e.create(0)
	e.patch(u, 0, nil).status(204).header("Upload-Offset", "0")
	e.patch(u, 0, []byte("x")).status(413)
	e.wantOffset(u, 0)
}

func createAtLimit(e *env) {
	e.config.MaxSize = 1000
	u := e.create(1000)
	e.patch(u, 0, content(1000)).status(204)
}

func createAboveLimit(e *env) {
	e.config.MaxSize = 1000
	e.post("Upload-Length: 1001").status(413).code("ERR_MAX_SIZE_EXCEEDED").without("Location")
	e.post("Upload-Length: 9223372036854775807").status(413)
	e.wantNoUploads()
}

func createElsewhere(e *env) {
	e.do(http.MethodPost, "/files/unknown", nil, version, "Upload-Length: 100").status(404, 405)
	e.raw(http.MethodPost, "/elsewhere/", nil, version, "Upload-Length: 100").status(404)
	e.wantNoUploads()
}

func createAbsoluteBase(e *env) {
	e.config.BasePath = "https://uploads.example/files"
	a := e.post("Upload-Length: 100").status(201).headerMatches("Location", "^https://uploads.example/files/[^/]+$")
	e.wantOffset(strings.TrimPrefix(a.Header.Get("Location"), "https://uploads.example"), 0)
}

// createWithMetadata makes an upload and checks that HEAD echoes raw.
func (e *env) createWithMetadata(raw string) string {
	e.Helper()
	u := e.create(100, "Upload-Metadata: "+raw)
	e.head(u).status(200).header("Upload-Metadata", raw)
	return u
}

// wantMetadata checks a decoded pair in the record of an upload.
func (e *env) wantMetadata(u, key, want string) {
	e.Helper()
	upload, err := e.config.StoreComposer.Core.GetUpload(e.Context(), nil, idOf(u))
	if err != nil {
		e.Fatal(err)
	}
	info, err := upload.GetInfo(e.Context())
	if err != nil {
		e.Fatal(err)
	}
	if got, there := info.MetaData[key]; !there || got != want {
		e.Errorf("metadata %q is %q, want %q", key, got, want)
	}
}

func (e *env) wantMetadataRefused(raw string) {
	e.Helper()
	a := e.post("Upload-Length: 100", "Upload-Metadata: "+raw).status(400).without("Location")
	if a.Status == 400 {
		a.code("ERR_INVALID_METADATA")
		return
	}
	e.Errorf("the metadata was %q", raw)
}

func metadataPairs(e *env) {
	u := e.createWithMetadata("filename d29ybGQ=,is_secret")
	e.wantMetadata(u, "filename", "world")
	e.wantMetadata(u, "is_secret", "")
}

func metadataNoValue(e *env) {
	e.wantMetadata(e.createWithMetadata("k"), "k", "")
	e.wantMetadata(e.createWithMetadata("k ,l bGw="), "k", "")
	u := e.create(100, "Upload-Metadata: k ") // HTTP takes the space off
	e.wantMetadata(u, "k", "")
}

func metadataBadBase64(e *env) {
	for _, bad := range []string{"k d29ybGQ", "k d29ybGQ==", "k !!!!", "k d29y bGQ=", "k =", "k d29ybG-_", "k d29ybGR=", "ok b2s=,k x"} {
		e.wantMetadataRefused(bad)
	}
	e.wantNoUploads()
}

func metadataDuplicateKey(e *env) {
	e.wantMetadataRefused("k YQ==,k Yg==")
	e.wantMetadataRefused("k,k")
	e.wantNoUploads()
}

func metadataMalformed(e *env) {
	for _, bad := range []string{",", ",,", " , ", "a b c", "k  YQ==", "k\tYQ==", "a YQ==;b", "\u00a0k YQ=="} {
		e.wantMetadataRefused(bad)
	}
	e.wantNoUploads()
}

func metadataHostileValue(e *env) {
	value := "a\r\nX-Evil: 1\r\n\r\n\x00../../etc/passwd\"; x=\"<script>"
	u := e.createWithMetadata("filename " + base64.StdEncoding.EncodeToString([]byte(value)))
	e.wantMetadata(u, "filename", value)
	e.patch(u, 0, content(100)).status(204).without("X-Evil")
	e.get(u).status(200).without("X-Evil")
}

func metadataUTF8(e *env) {
	value := "große Datei ☃ 𝄞.txt"
	e.wantMetadata(e.createWithMetadata("name "+base64.StdEncoding.EncodeToString([]byte(value))), "name", value)
}

func metadataLarge(e *env) {
	e.createWithMetadata(metadataOf(8 << 10))
	e.createWithMetadata(metadataOf(14 << 10))
	before := e.countUploads()
	e.post("Upload-Length: 100", "Upload-Metadata: "+metadataOf(14<<10+4)).status(431).code("ERR_METADATA_TOO_LARGE")
	if after := e.countUploads(); after != before {
		e.Errorf("%d uploads became %d", before, after)
	}
}

// metadataOf is a valid Upload-Metadata of n bytes.
func metadataOf(n int) string { return "key " + strings.Repeat("YWJj", (n-4)/4) }

func metadataNone(e *env) { e.head(e.create(100)).status(200).without("Upload-Metadata") }

func metadataEcho(e *env) {
	raw := "z eg==,a YQ==,empty ,B Qg==,m"
	u := e.createWithMetadata(raw)
	e.patch(u, 0, content(40)).status(204)
	e.head(u).header("Upload-Metadata", raw)
	e.restart()
	e.head(u).header("Upload-Metadata", raw)
	e.patch(u, 40, content(60)).status(204)
	e.head(u).header("Upload-Metadata", raw)
}

func metadataLines(e *env) {
	u := e.post("Upload-Length: 100", "Upload-Metadata: a YQ==", "Upload-Metadata: b Yg==").status(201).location()
	e.wantMetadata(u, "a", "a")
	e.wantMetadata(u, "b", "b")
	e.post("Upload-Length: 100", "Upload-Metadata: a YQ==", "Upload-Metadata: a Yg==").status(400)
}

func metadataList(e *env) {
	for _, list := range []string{
		"a YQ==,\tb Yg==", "a YQ== , b Yg==", "a YQ==\t,\tb Yg==", "a YQ==,b Yg==,", ",a YQ==,b Yg==", "a YQ==,,b Yg==", "a YQ==, \t,b Yg==",
	} {
		u := e.post("Upload-Length: 100", "Upload-Metadata: "+list).status(201).location()
		e.wantMetadata(u, "a", "a")
		e.wantMetadata(u, "b", "b")
		got, err := tusd.ParseMetaData(e.head(u).Header.Get("Upload-Metadata"))
		if err != nil || got["a"] != "a" || got["b"] != "b" {
			e.Errorf("HEAD returns %v, %v for %q", got, err, list)
		}
	}
	for _, lines := range [][]string{
		{"Upload-Metadata: a YQ==", "Upload-Metadata:"}, {"Upload-Metadata:", "Upload-Metadata: a YQ=="},
		{"Upload-Metadata: a YQ==,", "Upload-Metadata: ,"},
	} {
		u := e.post(append(lines, "Upload-Length: 100")...).status(201).location()
		e.head(u).header("Upload-Metadata", "a YQ==")
	}
	u := e.post("Upload-Length: 100", "Upload-Metadata:", "Upload-Metadata:").status(201).location()
	e.head(u).without("Upload-Metadata")
}

func (e *env) countUploads() int {
	e.Helper()
	e.start()
	uploads, _, err := e.config.StoreComposer.Lister.List(e.Context(), "", tusd.ListFilter{}, 1000)
	if err != nil {
		e.Errorf("list the store: %v", err)
	}
	return len(uploads)
}
