package load

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd/cmd/tusd-bench/bare"
)

// tiny is the smallest useful plan.
var tiny = Plan{Clients: 4, Requests: 8, Size: 40_000, Chunk: 9000}

// noMeter measures nothing.
type noMeter struct{}

func (noMeter) Begin() error         { return nil }
func (noMeter) End() (*Usage, error) { return nil, nil }

// serveBare serves the bare handler, wrapped by around.
func serveBare(t *testing.T, around func(dir string, next http.Handler) http.Handler) (url, dir string) {
	t.Helper()
	dir = t.TempDir()
	handler, err := bare.NewHandler(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(around(dir, handler))
	t.Cleanup(server.Close)
	return server.URL + bare.BasePath, dir
}

func target(t *testing.T, url, dir string) *Target {
	t.Helper()
	target, err := NewTarget(url, dir)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func workload(t *testing.T, name string) Workload {
	t.Helper()
	w, err := Parse(name, tiny)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func unwrapped(_ string, next http.Handler) http.Handler { return next }

func TestWorkloads(t *testing.T) {
	for name, want := range map[string]Sample{
		"head":   {Operations: 8 * headsPerRequest},
		"small":  {Operations: 8, Bytes: 8 * smallSize},
		"cwu":    {Operations: 8, Bytes: 8 * smallSize},
		"chunks": {Operations: 4 * 5, Bytes: 4 * 40_000},
		"patch":  {Operations: 1, Bytes: 40_000},
		"patch1": {Operations: 1, Bytes: 1 << 20},
		"whole":  {Operations: 4 * wholesPerClient, Bytes: 4 * wholesPerClient * 40_000},
		"whole1": {Operations: 4 * wholesPerClient, Bytes: 4 * wholesPerClient << 20},
	} {
		t.Run(name, func(t *testing.T) {
			url, dir := serveBare(t, unwrapped)
			for _, place := range []string{"", dir} {
				target := target(t, url, place)
				got, err := Run(t.Context(), target, workload(t, name), noMeter{})
				if err != nil {
					t.Fatal(err)
				}
				if got.Operations != want.Operations || got.Bytes != want.Bytes || got.Elapsed <= 0 || got.P50 <= 0 || got.P99 < got.P50 {
					t.Errorf("%+v, want %+v and some time", got, want)
				}
				if err := target.Clear(t.Context()); err != nil {
					t.Error(err)
				}
				if left, _ := os.ReadDir(dir); len(left) > 0 {
					t.Errorf("%d files are left", len(left))
				}
			}
		})
	}
}

func TestUnknownWorkloads(t *testing.T) {
	for _, name := range []string{"", "tail", "patchwork", "patch0", "patch-1", "whole0", "wholesome"} {
		if w, err := Parse(name, tiny); err == nil {
			t.Errorf("%q was parsed as %+v", name, w)
		}
	}
}

// corruption changes the content of a request before it is stored.
type corruption func(content []byte) []byte

var corruptions = map[string]corruption{
	"a flipped bit":    func(p []byte) []byte { p[len(p)/2] ^= 4; return p },
	"a lost byte":      func(p []byte) []byte { return append(p[:1], p[2:]...) },
	"a lost last byte": func(p []byte) []byte { return p[:len(p)-1] },
	"a byte twice":     func(p []byte) []byte { return append(p[:2:2], p[1:]...) },
	"zeros":            func(p []byte) []byte { return make([]byte, len(p)) },
}

// around returns a server that corrupts contents, and answers as if it did not.
func (c corruption) around(_ string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		sent := len(content)
		if sent > 0 {
			content = c(content)
			r.Body = io.NopCloser(bytes.NewReader(content))
		}
		next.ServeHTTP(&offsetFaker{w, sent - len(content)}, r)
	})
}

// offsetFaker answers with the offset that the client expects.
type offsetFaker struct {
	http.ResponseWriter
	missing int
}

func (l *offsetFaker) WriteHeader(status int) {
	if offset, err := strconv.Atoi(l.Header().Get("Upload-Offset")); err == nil && l.missing != 0 {
		l.Header().Set("Upload-Offset", strconv.Itoa(offset+l.missing))
	}
	l.ResponseWriter.WriteHeader(status)
}

// Every workload that uploads detects every corruption, in the directory and by
// GET.
func TestCorruptionIsDetected(t *testing.T) {
	for what, h := range corruptions {
		for _, name := range []string{"small", "cwu", "chunks", "patch"} {
			t.Run(name+", "+what, func(t *testing.T) {
				url, dir := serveBare(t, h.around)
				for _, place := range []string{"", dir} {
					if _, err := Run(t.Context(), target(t, url, place), workload(t, name), noMeter{}); err == nil {
						t.Errorf("in directory %q no error", place)
					}
				}
			})
		}
	}
}

// The server truncates an upload after it was stored.
func TestLaterTruncationIsDetected(t *testing.T) {
	truncating := func(dir string, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r)
			if r.Method == http.MethodPatch {
				name := filepath.Join(dir, strings.TrimPrefix(r.URL.Path, bare.BasePath))
				os.Truncate(name, r.ContentLength-1)
			}
		})
	}
	url, dir := serveBare(t, truncating)
	for _, place := range []string{"", dir} {
		for _, name := range []string{"small", "patch", "head"} {
			if _, err := Run(t.Context(), target(t, url, place), workload(t, name), noMeter{}); err == nil {
				t.Errorf("%s in directory %q: no error", name, place)
			}
		}
	}
}

// For a server that stores no contents only offsets are verified.
func TestServerWithoutContents(t *testing.T) {
	for what, c := range map[string]struct {
		corruption corruption
		ok         bool
	}{
		"other contents": {corruptions["zeros"], true},
		"a lost byte":    {corruptions["a lost byte"], false},
	} {
		url, _ := serveBare(t, c.corruption.around)
		withoutContents := target(t, url, "")
		withoutContents.DiscardsContent = true
		if _, err := Run(t.Context(), withoutContents, workload(t, "chunks"), noMeter{}); (err == nil) != c.ok {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A server that generates contents receives none, but a header field with the
// number of bytes to generate.
func TestOrderHeader(t *testing.T) {
	making := func(_ string, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPatch {
				n, err := strconv.ParseInt(r.Header.Get("Make"), 10, 64)
				if err != nil || r.ContentLength != 0 {
					t.Errorf("%v, and %d bytes of content", err, r.ContentLength)
				}
				r.Body = io.NopCloser(bytes.NewReader(make([]byte, n)))
			}
			next.ServeHTTP(w, r)
		})
	}
	url, _ := serveBare(t, making)
	generator := target(t, url, "")
	generator.DiscardsContent, generator.OrderHeader = true, "Make"
	got, err := Run(t.Context(), generator, workload(t, "chunks"), noMeter{})
	if err != nil || got.Operations != 4*5 || got.Bytes != 4*40_000 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestSlow(t *testing.T) {
	plan := SlowPlan{Connections: 20, Burst: 100_000, AtOnce: 5, Time: 500 * time.Millisecond}
	for name, c := range map[string]struct {
		around func(string, http.Handler) http.Handler
		ok     bool
	}{
		"correct":     {unwrapped, true},
		"cuts":        {func(_ string, next http.Handler) http.Handler { return cutting(next) }, true},
		"flips a bit": {func(_ string, next http.Handler) http.Handler { return flipping(next) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, dir := serveBare(t, c.around)
			for _, place := range []string{"", dir} {
				looks := 0
				got, err := Slow(t.Context(), target(t, url, place), plan, func() (int64, int64, error) {
					looks++
					return int64(10 * looks), 50, nil
				})
				if (err == nil) != c.ok {
					t.Errorf("in directory %q: %v", place, err)
				}
				if want := (SlowSample{Before: 10, After: 20, Peak: 50}); c.ok && got != want {
					t.Errorf("%+v, want %+v", got, want)
				}
			}
		})
	}
}

// cutting drops the last bytes before a connection is cut: a correct server may do
// that.
func cutting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upload-Offset") == "0" {
			r.Body = io.NopCloser(io.LimitReader(r.Body, r.ContentLength-200))
		}
		next.ServeHTTP(w, r)
	})
}

// flipping flips a bit of every body.
func flipping(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch {
			r.Body = io.NopCloser(io.MultiReader(&flipped{r: io.LimitReader(r.Body, 1)}, r.Body))
		}
		next.ServeHTTP(w, r)
	})
}

type flipped struct{ r io.Reader }

func (f *flipped) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	for i := range p[:n] {
		p[i] ^= 1
	}
	return n, err
}
