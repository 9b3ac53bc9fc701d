package protocoltest

import (
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/tusclient"
)

// Over HTTP/2 a client needs 100 bytes to send a header of 256 KiB. The server must not
// allocate a multiple of it.

// hostileSize is about the size of the headers, which is near the limit.
const hostileSize = 240 << 10

// hostileHeader is a request with a header that is expensive to parse.
type hostileHeader struct {
	method, target string // target: "": the creation URL, "open", "complete"
	name           string
	value          string   // what it repeats; # is another number each time
	prefix         string   // what comes once, before
	suffix         string   // and after
	lines          bool     // each repetition is a line of its own
	beside         []string // further fields
	bound          uint64   // of the bytes allocated for each byte; 0: 4
}

var draftCreation = []string{"Upload-Draft-Interop-Version", "6", "Upload-Complete", "?0", "Upload-Length", "10"}

var hostileHeaders = []hostileHeader{
	{method: "HEAD", target: "open", name: "Forwarded", value: "=,"},
	{method: "HEAD", target: "open", name: "Forwarded", value: "for=1,"},
	{method: "HEAD", target: "open", name: "Forwarded", value: "for=10.0.0.1,"},
	{method: "HEAD", target: "open", name: "Forwarded", value: `host="\a",`},
	{method: "HEAD", target: "open", name: "Forwarded", value: `a=1;b=2;`},
	{method: "HEAD", target: "open", name: "Forwarded", value: "for=1", lines: true},
	{method: "POST", target: "", name: "Forwarded", value: "a.", prefix: "host=", beside: []string{"Upload-Length", "5"}},
	{method: "HEAD", target: "open", name: "X-Forwarded-For", value: "1,"},
	{method: "HEAD", target: "open", name: "X-Forwarded-For", value: "10.0.0.1,", suffix: "10.0.0.1"},
	{method: "HEAD", target: "open", name: "X-Forwarded-For", value: "fe80::1%a,", suffix: "10.0.0.1"},
	{method: "HEAD", target: "open", name: "X-Forwarded-For", value: "10.0.0.1", lines: true},
	{method: "POST", target: "", name: "X-Forwarded-Proto", value: "HTTPS", beside: []string{"Upload-Length", "5"}},
	{method: "POST", target: "", name: "X-Forwarded-Host", value: "a.", beside: []string{"Upload-Length", "5"}},
	{method: "POST", target: "", name: "Upload-Metadata", value: "a,", beside: []string{"Upload-Length", "5"}},
	{method: "POST", target: "", name: "Upload-Metadata", value: "a", lines: true, beside: []string{"Upload-Length", "5"}},
	{method: "POST", target: "", name: "Upload-Concat", value: "a ", prefix: "final;"},
	{method: "POST", target: "", name: "Upload-Concat", value: "/files/a ", prefix: "final;"},
	{method: "POST", target: "", name: "Upload-Concat", value: "http://example.com/files/%61 ", prefix: "final;"},
	{method: "POST", target: "", name: "Upload-Concat", value: "a", prefix: "final;"},
	{method: "POST", target: "", name: "Upload-Length", value: "1"},
	{method: "POST", target: "", name: "Upload-Defer-Length", value: "1", lines: true},
	{method: "POST", target: "", name: "Repr-Digest", value: "*,", suffix: "*", beside: []string{"Upload-Length", "5"}},
	{method: "POST", target: "", name: "Repr-Digest", value: "a=:YQ:,", suffix: "a", beside: []string{"Upload-Length", "5"}},
	{method: "POST", target: "", name: "Repr-Digest", value: "sha=:YQ:,", suffix: "a", beside: []string{"Upload-Length", "5"}},
	{method: "POST", target: "", name: "Repr-Digest", value: "a;b=:YQ:", suffix: "", beside: []string{"Upload-Length", "5"}},
	{method: "POST", target: "", name: "Repr-Digest", value: ";b=:YQ:", prefix: "a", beside: []string{"Upload-Length", "5"}},
	{method: "POST", target: "", name: "Repr-Digest", value: "YWFh", prefix: "sha-256=:", suffix: ":", beside: []string{"Upload-Length", "5"}},
	{method: "POST", target: "", name: "Repr-Digest", value: " (", prefix: "a=", beside: []string{"Upload-Length", "5"}},
	{method: "POST", target: "", name: "Repr-Digest", value: " :YQ:", prefix: "a=(", suffix: ")", beside: []string{"Upload-Length", "5"}},
	{method: "POST", target: "", name: "Repr-Digest", value: "a", lines: true, beside: []string{"Upload-Length", "5"}},
	{method: "POST", target: "", name: "Repr-Digest", value: "a#,", suffix: "a", beside: []string{"Upload-Length", "5"}},
	{method: "POST", target: "", name: "Repr-Digest", value: "a#=1,", suffix: "a", beside: []string{"Upload-Length", "5"}},
	{method: "POST", target: "", name: "Want-Repr-Digest", value: "a#=1,", suffix: "a", beside: []string{"Upload-Length", "5"}},
	{method: "POST", target: "", name: "Content-Type", value: ";a#=b", prefix: "a/b", beside: draftCreation},
	{method: "POST", target: "", name: "Content-Disposition", value: ";a#=b", prefix: "a;filename=b", beside: draftCreation},
	{method: "POST", target: "", name: "Content-Disposition", value: ";filename*#=b", prefix: "a", beside: draftCreation},
	{method: "PATCH", target: "open", name: "Content-Digest", value: "a#=:YQ:,", suffix: "a", beside: []string{"Upload-Offset", "0"}},
	{method: "PATCH", target: "open", name: "Content-Digest", value: "sha=:YQ:,", suffix: "sha=:YQ:", beside: []string{"Upload-Offset", "0"}},
	{method: "HEAD", target: "open", name: "Forwarded", value: "a#=b;", suffix: "for=1"},
	{method: "POST", target: "", name: "Want-Repr-Digest", value: "a=1,", suffix: "a", beside: []string{"Upload-Length", "5"}},
	{method: "PATCH", target: "open", name: "Content-Digest", value: "a=:YQ:,", suffix: "a", beside: []string{"Upload-Offset", "0"}},
	{method: "PATCH", target: "open", name: "Upload-Checksum", value: "YWFh", prefix: "sha1 ", beside: []string{"Upload-Offset", "0"}},
	{method: "PATCH", target: "open", name: "Upload-Checksum", value: "sha1 YQ==", lines: true, beside: []string{"Upload-Offset", "0"}},
	{method: "PATCH", target: "open", name: "Trailer", value: "A,", beside: []string{"Upload-Offset", "0"}},
	{method: "PATCH", target: "open", name: "Trailer", value: "A", lines: true, beside: []string{"Upload-Offset", "0"}},
	{method: "PATCH", target: "open", name: "Upload-Offset", value: "0"},
	{method: "PATCH", target: "open", name: "Content-Type", value: "a/b;", beside: []string{"Upload-Offset", "0"}},
	{method: "PATCH", target: "open", name: "Content-Type", value: "a/b", lines: true, beside: []string{"Upload-Offset", "0"}},
	{method: "POST", target: "", name: "Content-Type", value: ";a=b", prefix: "a/b", beside: draftCreation},
	{method: "POST", target: "", name: "Content-Type", value: "A", prefix: "a/", beside: draftCreation},
	{method: "POST", target: "", name: "Content-Disposition", value: ";a*0=b", prefix: "a", beside: draftCreation},
	{method: "POST", target: "", name: "Content-Disposition", value: "%41", prefix: "a;filename*=utf-8''", beside: draftCreation},
	{method: "POST", target: "", name: "Content-Encoding", value: "a,", beside: draftCreation},
	{method: "HEAD", target: "open", name: "Upload-Draft-Interop-Version", value: ";a=:YQ:", prefix: "6"},
	{method: "HEAD", target: "open", name: "Upload-Draft-Interop-Version", value: "6", lines: true},
	{method: "HEAD", target: "open", name: "Upload-Complete", value: ";a=:YQ:", prefix: "?1"},
	{method: "HEAD", target: "open", name: "Tus-Resumable", value: "1.0.0,"},
	{method: "HEAD", target: "open", name: "Tus-Resumable", value: "1.0.0", lines: true},
	{method: "HEAD", target: "open", name: "X-Http-Method-Override", value: "patch"},
	{method: "HEAD", target: "open", name: "X-Request-Id", value: "a"},
	{method: "HEAD", target: "open", name: "Origin", value: "https://a"},
	{method: "OPTIONS", target: "open", name: "Access-Control-Request-Headers", value: "a,"},
	{method: "HEAD", target: "open", name: "Expect", value: "100-continue,"},
	{method: "GET", target: "complete", name: "Range", value: "0-0,", prefix: "bytes=", suffix: "0-0"},
	{method: "GET", target: "complete", name: "Range", value: "0-0,2-2,", prefix: "bytes=", suffix: "4-4"},
	{method: "GET", target: "complete", name: "Range", value: "0-,", prefix: "bytes=", suffix: "0-"},
	{method: "GET", target: "complete", name: "Range", value: "-1,", prefix: "bytes=", suffix: "-1"},
	{method: "GET", target: "complete", name: "Range", value: "99999999-,", prefix: "bytes=", suffix: "0-"},
	{method: "GET", target: "complete", name: "Range", value: "0-0,", prefix: "bytes=", suffix: "x"},
	{method: "GET", target: "complete", name: "Range", value: ",", prefix: "bytes=", suffix: "0-0"},
	{method: "GET", target: "complete", name: "If-None-Match", value: `"a",`, suffix: `"a"`},
	{method: "GET", target: "complete", name: "If-Match", value: `"a",`, suffix: `"a"`},
	{method: "GET", target: "complete", name: "If-Range", value: `"a"`, beside: []string{"Range", "bytes=0-1"}},
	{method: "GET", target: "complete", name: "If-Modified-Since", value: "Mon, "},
	{method: "GET", target: "complete", name: "Accept-Encoding", value: "gzip,"},
}

func (h hostileHeader) String() string {
	s := h.method + " " + h.target + " " + h.name + ": " + h.prefix + strings.Repeat(h.value, 2) + "..." + h.suffix
	if h.lines {
		s += " (lines)"
	}
	return s
}

// set sets the field and returns its size.
func (h hostileHeader) set(header http.Header) (size int) {
	if strings.Contains(h.value, "#") {
		var b strings.Builder
		for i := 0; b.Len() < hostileSize-10; i++ {
			b.WriteString(strings.ReplaceAll(h.value, "#", strconv.FormatInt(int64(i), 36)))
		}
		header[h.name] = []string{h.prefix + b.String() + h.suffix}
		return hostileSize
	}
	n := (hostileSize - len(h.prefix) - len(h.suffix)) / len(h.value)
	values := []string{h.prefix + strings.Repeat(h.value, n) + h.suffix}
	if h.lines {
		n = hostileSize / (len(h.name) + len(": \r\n") + len(h.value))
		values = make([]string, n)
		for i := range values {
			values[i] = h.value
		}
	}
	header[h.name] = values
	return hostileSize
}

// costServer returns a handler over files, and the targets of two uploads.
func costServer(t *testing.T) (h http.Handler, targets map[string]string) {
	t.Helper()
	composer := tusd.NewStoreComposer()
	store := &filestore.FileStore{Path: t.TempDir(), Durability: filestore.None}
	t.Cleanup(func() { store.Close() })
	store.UseIn(composer)
	handler, err := tusd.NewHandler(tusd.Config{
		BasePath:       "/files/",
		StoreComposer:  composer,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Logger:         slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { handler.Shutdown(t.Context()) })
	p := tusclient.InProcess{TB: t, Handler: handler}
	return handler, map[string]string{"": "/files/", "open": p.Create(1 << 30), "complete": p.CreateFull(make([]byte, 1<<20))}
}

// request makes the request, without the field that makes it hostile.
func (h hostileHeader) request(path, peer string) *http.Request {
	r := httptest.NewRequest(h.method, path, nil)
	r.RemoteAddr = peer
	if h.name != "Upload-Draft-Interop-Version" && h.name != "Upload-Complete" && len(h.beside) < len(draftCreation) {
		r.Header.Set("Tus-Resumable", "1.0.0")
		r.Header.Set("Content-Type", "application/offset+octet-stream")
	}
	for i := 0; i+1 < len(h.beside); i += 2 {
		r.Header.Set(h.beside[i], h.beside[i+1])
	}
	return r
}

// costOf returns how many bytes the handler allocates for a request.
func costOf(h http.Handler, make func() *http.Request) (bytes uint64, last *tusclient.Discard) {
	const times = 4
	var before, after runtime.MemStats
	for range times {
		w, r := &tusclient.Discard{Fields: http.Header{}}, make()
		runtime.ReadMemStats(&before)
		h.ServeHTTP(w, r)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; last == nil || n < bytes { // the least: other goroutines may allocate, too
			bytes = n
		}
		last = w
	}
	return bytes, last
}

func TestHeadersCostNoMoreThanTheirSize(t *testing.T) {
	require.NoRace(t)
	handler, targets := costServer(t)
	for _, peer := range []struct{ name, address string }{{"stranger", "192.0.2.1:1"}, {"proxy", "10.0.0.1:1"}} {
		for i, h := range hostileHeaders {
			t.Run(fmt.Sprintf("%s/%d", peer.name, i), func(t *testing.T) {
				var size int
				bytes, w := costOf(handler, func() *http.Request {
					r := h.request(targets[h.target], peer.address)
					size = h.set(r.Header)
					return r
				})
				bound := uint64(4)
				if h.bound != 0 {
					bound = h.bound
				}
				t.Logf("%s: status %d, %.2f bytes for each", h, w.Status, float64(bytes)/float64(size))
				if bytes > bound*uint64(size)+16<<10 {
					t.Errorf("%s: %d bytes of header make %d bytes of memory, want at most %d for each", h, size, bytes, bound)
				}
			})
		}
	}
}

// Metadata within the limit costs no more than its size.
func TestPairsOfMetadataCostWhatTheyAre(t *testing.T) {
	require.NoRace(t)
	handler, targets := costServer(t)
	var pairs []string
	for i := range 3000 {
		pairs = append(pairs, base64.RawStdEncoding.EncodeToString([]byte{byte(i >> 8), byte(i), 1})+" YQ==")
	}
	for name, raw := range map[string]string{
		"distinct": strings.Join(pairs[:1600], ","),
		"the same": strings.Repeat("a,", 8<<10-1) + "b",
		"empty":    strings.Repeat(",", 16<<10),
	} {
		bytes, w := costOf(handler, func() *http.Request {
			r := hostileHeader{method: "POST"}.request(targets[""], "192.0.2.1:1")
			r.Header.Set("Upload-Length", "5")
			r.Header.Set("Upload-Metadata", raw)
			return r
		})
		t.Logf("%s: status %d, %d bytes", name, w.Status, bytes)
		if bytes > 1<<20 {
			t.Errorf("%s: metadata of %d bytes make %d bytes of memory", name, len(raw), bytes)
		}
	}
}
