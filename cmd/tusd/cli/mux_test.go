package cli

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd/internal/guard"
)

// The handler of uploads answers OPTIONS *.
func TestOptionsOfTheServer(t *testing.T) {
	uploads := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	r := httptest.NewRequest(http.MethodOptions, "/", nil)
	r.RequestURI, r.URL.Path = "*", "*"
	w := httptest.NewRecorder()
	newPublicMux(guard.New(time.Minute), "/files/", uploads, nil, true).ServeHTTP(w, r)
	if w.Code != http.StatusTeapot {
		t.Errorf("OPTIONS *: %d, want the uploads' answer", w.Code)
	}
}

func TestPublicMux(t *testing.T) {
	uploads := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	const greeted, uploaded, missing = http.StatusOK, http.StatusTeapot, http.StatusNotFound
	for _, c := range []struct {
		basePath, path string
		want           int
	}{
		{"/files/", "/files/", uploaded},
		{"/files/", "/files", uploaded},
		{"/files/", "/files/abc", uploaded},
		{"/files/", "/files/a/../b", uploaded}, // the handler refuses it, and the mux does not redirect
		{"/files/", "/files/a%2Fb", uploaded},
		{"/files/", "/", greeted},
		{"/files/", "/filesystem", missing},
		{"/files/", "/file", missing},
		{"/files/", "/other", missing},
		{"/files/", "/%66iles/", missing},
		{"/files/", "//files/", missing},
		{"/my%20files/", "/my%20files/abc", uploaded},
		{"/", "/", uploaded},
		{"/", "/abc", uploaded},
	} {
		w := httptest.NewRecorder()
		newPublicMux(guard.New(time.Minute), c.basePath, uploads, nil, true).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://h"+c.path, nil))
		if w.Code != c.want {
			t.Errorf("base path %s, GET %s: %d, want %d", c.basePath, c.path, w.Code, c.want)
		}
		if c.want == greeted && !strings.Contains(w.Body.String(), "tusd") {
			t.Errorf("GET %s: %q", c.path, w.Body)
		}
	}
}

// adminPages maps the paths of the pages for operators to a part of their content.
var adminPages = map[string]string{
	"/healthz": "alive", "/readyz": "store: ok", "/metrics": "tusd_uploads_created", "/debug/pprof/": "goroutine",
}

func TestAdminPagesOnUploadAddress(t *testing.T) {
	for _, basePath := range []string{"/files/", "/"} {
		d := start(t, "-expose-pprof", "-base-path", basePath)
		for path, want := range adminPages {
			if status, body := fetch(t, "http://"+d.address(t)+path); status != http.StatusOK || !strings.Contains(body, want) {
				t.Errorf("base path %s, GET %s: %d %s", basePath, path, status, body)
			}
		}
		create(t, http.DefaultClient, d.url, "1")
	}
}

func TestAdminPagesOnAdminListen(t *testing.T) {
	d := start(t, "-expose-pprof", "-admin-listen", "127.0.0.1:0", "-metrics-path", "/m", "-pprof-path", "/p")
	admin := adminURL(t, d)
	for _, path := range []string{"/healthz", "/readyz", "/m", "/p/"} {
		if status, body := fetch(t, admin+path); status != http.StatusOK {
			t.Errorf("GET %s: %d %s", path, status, body)
		}
		if status, _ := fetch(t, "http://"+d.address(t)+path); status != http.StatusNotFound {
			t.Errorf("GET %s on the address of uploads: %d", path, status)
		}
	}
	for _, path := range []string{"/", "/files/"} {
		if status, _ := fetch(t, admin+path); status != http.StatusNotFound {
			t.Errorf("GET %s on the admin address: %d", path, status)
		}
	}
}

// adminURL returns the URL of the admin server, without the last slash.
func adminURL(t *testing.T, d *testDaemon) string {
	t.Helper()
	found := regexp.MustCompile(`pages for operators are below (http://\S+)/`).FindStringSubmatch(d.stdout.String())
	if found == nil {
		t.Fatalf("no admin address in the output: %s", d.stdout.String())
	}
	return found[1]
}

func TestAdminPagesDisabled(t *testing.T) {
	d := start(t, "-expose-metrics=false")
	for _, path := range []string{"/metrics", "/debug/pprof/"} {
		if status, _ := fetch(t, "http://"+d.address(t)+path); status != http.StatusNotFound {
			t.Errorf("GET %s: %d", path, status)
		}
	}
}

func TestAdminAddressInUse(t *testing.T) {
	d := start(t)
	code, _, stderr := run("-host", "127.0.0.1", "-port", "0", "-upload-dir", t.TempDir(), "-admin-listen", d.address(t))
	if code != exitFailed || !strings.Contains(stderr, "cannot listen on -admin-listen") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}
