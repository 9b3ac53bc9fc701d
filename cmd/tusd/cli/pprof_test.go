package cli

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
)

// namedProfiles maps the profiles of runtime/pprof to their first words.
var namedProfiles = map[string]string{
	"heap": "heap profile:", "allocs": "heap profile:", "goroutine": "goroutine profile:",
	"threadcreate": "threadcreate profile:", "block": "--- contention:", "mutex": "--- mutex:",
}

func TestPprof(t *testing.T) {
	for _, path := range []string{"/debug/pprof/", "/inner/profiles/", "/"} {
		t.Run(path, func(t *testing.T) {
			handler := newPprof(path, "", 0, 0)
			mustAnswer(t, handler, path, http.StatusOK, "heap?debug=1")
			mustAnswer(t, handler, path+"cmdline", http.StatusOK, "test")
			mustAnswer(t, handler, path+"symbol", http.StatusOK, "num_symbols")
			for name, title := range namedProfiles {
				mustAnswer(t, handler, path+name+"?debug=1", http.StatusOK, title)
			}
			mustAnswer(t, handler, path+"none", http.StatusNotFound, "")
			mustBeProfile(t, get(handler, path+"heap"))
		})
	}
}

// mustBeProfile fails unless the answer is a profile for "go tool pprof".
func mustBeProfile(t *testing.T, answer *httptest.ResponseRecorder) {
	t.Helper()
	content, err := gzip.NewReader(answer.Body)
	if err == nil {
		_, err = io.Copy(io.Discard, content)
	}
	if answer.Code != http.StatusOK || err != nil {
		t.Errorf("status %d; the profile cannot be read: %v", answer.Code, err)
	}
}

// Profiles over time take at least a second. All run in parallel.
func TestPprofOverTime(t *testing.T) {
	handler := newPprof("/p/", "", 0, 0)
	t.Run("all", func(t *testing.T) {
		for _, name := range []string{"profile", "fgprof"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				mustBeProfile(t, get(handler, "/p/"+name+"?seconds=1"))
			})
		}
		t.Run("trace", func(t *testing.T) {
			t.Parallel()
			if w := get(handler, "/p/trace?seconds=0.1"); !bytes.HasPrefix(w.Body.Bytes(), []byte("go 1.")) {
				t.Errorf("status %d, and no trace: %.40q", w.Code, w.Body)
			}
		})
	})
}

func TestPprofAuth(t *testing.T) {
	const auth = "anna:pass:word"
	handler := newPprof("/debug/pprof/", auth, 0, 0)
	for _, c := range []struct {
		user, password string
		status         int
	}{
		{"anna", "pass:word", http.StatusOK},
		{"anna", "pass", http.StatusUnauthorized},
		{"anna", "pass:wore", http.StatusUnauthorized},
		{"ann", "pass:word", http.StatusUnauthorized},
		{"", "", http.StatusUnauthorized},
	} {
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline"} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			if c.user != "" {
				r.SetBasicAuth(c.user, c.password)
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if asked := strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Basic "); w.Code != c.status || asked != (c.status == http.StatusUnauthorized) {
				t.Errorf("%s as %s:%s: %d, want %d; asked for a password: %v", path, c.user, c.password, w.Code, c.status, asked)
			}
		}
	}
}

func TestPprofRates(t *testing.T) {
	before := runtime.SetMutexProfileFraction(-1)
	t.Cleanup(func() {
		runtime.SetMutexProfileFraction(before)
		runtime.SetBlockProfileRate(0)
	})
	newPprof("/", "", 1000, 7)
	if rate := runtime.SetMutexProfileFraction(-1); rate != 7 {
		t.Errorf("mutex profile rate %d, want 7", rate)
	}
}
