package cli

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd/internal/guard"
)

// OPTIONS * asks what the server can, without naming anything.
func TestOptionsOfTheServer(t *testing.T) {
	uploads := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	r := httptest.NewRequest(http.MethodOptions, "/", nil)
	r.RequestURI, r.URL.Path = "*", "*"
	w := httptest.NewRecorder()
	newSite(guard.New(time.Minute), "/files/", uploads, nil, true).ServeHTTP(w, r)
	if w.Code != http.StatusTeapot {
		t.Errorf("OPTIONS *: %d, want the uploads' answer", w.Code)
	}
}

func TestSite(t *testing.T) {
	uploads := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	const greeted, uploaded, missing = http.StatusOK, http.StatusTeapot, http.StatusNotFound
	for _, c := range []struct {
		basePath, path string
		want           int
	}{
		{"/files/", "/files/", uploaded},
		{"/files/", "/files", uploaded},
		{"/files/", "/files/abc", uploaded},
		{"/files/", "/files/a/../b", uploaded}, // the handler refuses it; nobody redirects
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
		newSite(guard.New(time.Minute), c.basePath, uploads, nil, true).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://h"+c.path, nil))
		if w.Code != c.want {
			t.Errorf("base path %s, GET %s: %d, want %d", c.basePath, c.path, w.Code, c.want)
		}
		if c.want == greeted && !strings.Contains(w.Body.String(), "tusd") {
			t.Errorf("GET %s: %q", c.path, w.Body)
		}
	}
}
