//go:build linux

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Settings of a cache in nginx: minimal ones, and those of docs/proxies.md for downloads.
const (
	cachingSettings = `
        proxy_cache downloads;
        proxy_cache_valid any 10m;
        proxy_buffering on;
        add_header X-Cache $upstream_cache_status always;
`
	documentedCaching = cachingSettings + `
        proxy_cache_convert_head off;
        proxy_cache_key $request_method$scheme$http_host$request_uri;
`
)

// The key of a cache in front of the server is the URL and the method. The cache must not
// use an answer for another request that it does not fit.
func TestProxyCachesDownloads(t *testing.T) {
	for name, caching := range map[string]string{"plain": cachingSettings, "documented": documentedCaching} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cacheDownloads(t, caching)
		})
	}
}

func cacheDownloads(t *testing.T, caching string) {
	nginx.need(t)
	s := startService(t, t.TempDir())
	p := startProxy(t, nginx, s.listener.Addr().String(), func(settings string) string {
		zone := fmt.Sprintf("proxy_cache_path %s keys_zone=downloads:1m;\n", t.TempDir())
		return zone + strings.Replace(settings, "proxy_pass http://tusd;\n    }", "proxy_pass http://tusd;\n"+caching+"    }", 1)
	})
	c := newChain(t, s, p, "http")
	const size = 1000
	ask := func(method, url string, header ...string) (*http.Response, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range header {
			name, value, _ := strings.Cut(line, ": ")
			request.Header.Set(name, value)
		}
		response, err := c.client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		content, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response, string(content)
	}
	want := func(url, cache string, header ...string) {
		t.Helper()
		response, content := ask(http.MethodGet, url, header...)
		if response.StatusCode != http.StatusOK || content != strings.Repeat("x", size) || response.Header.Get("X-Cache") != cache {
			t.Errorf("GET %s: %s, %d bytes, cache %q, want the whole file, cache %q", url, response.Status, len(content), response.Header.Get("X-Cache"), cache)
		}
	}
	for _, earlier := range []struct {
		method string
		header []string
	}{
		{http.MethodGet, []string{"X-HTTP-Method-Override: HEAD"}},
		{http.MethodGet, []string{"X-HTTP-Method-Override: HEAD", "Tus-Resumable: 1.0.0"}},
		{http.MethodGet, []string{"X-HTTP-Method-Override: OPTIONS"}},
		{http.MethodGet, []string{"X-HTTP-Method-Override: PATCH"}},
		{http.MethodGet, []string{"X-HTTP-Method-Override: FOO"}},
		{http.MethodGet, []string{"Tus-Resumable: 9"}},
		{http.MethodHead, nil},
		{http.MethodHead, []string{"X-HTTP-Method-Override: GET"}},
	} {
		url := c.create(t, size)
		ask(http.MethodGet, url) // 409: there is no file yet
		request := c.request(t, http.MethodPatch, url, bytes.NewReader(bytes.Repeat([]byte("x"), size)))
		request.Header.Set("Upload-Offset", "0")
		request.Header.Set("Content-Type", "application/offset+octet-stream")
		if response := c.do(t, request); response.StatusCode != http.StatusNoContent {
			t.Fatalf("PATCH: %s, want 204", response.Status)
		}
		ask(earlier.method, url, earlier.header...)
		if caching == cachingSettings && earlier.method == http.MethodHead && earlier.header == nil {
			want(url, "HIT") // nginx sends a HEAD on as GET
		} else {
			want(url, "MISS")
		}
		want(url, "HIT")
		ask(earlier.method, url, earlier.header...)
		want(url, "HIT")
	}
}
