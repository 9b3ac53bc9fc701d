//go:build linux

package e2e

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// The daemon's warnings of proxies that are not set up as documented.
const (
	bufferingWarning = "buffers requests"
	schemeWarning    = "says https"
)

// TestDaemonWarnsOfBufferingProxy lets nginx buffer requests, as it does by default.
func TestDaemonWarnsOfBufferingProxy(t *testing.T) {
	t.Parallel()
	nginx.need(t)
	s := startService(t, t.TempDir())
	p := startProxy(t, nginx, s.listener.Addr().String(), func(settings string) string {
		return strings.Replace(settings, "proxy_request_buffering off", "proxy_request_buffering on", 1)
	})
	c := newChain(t, s, p, "http")
	c.front.retarget(link{rate: mib}.listen(t, p.plain))
	const chunk, chunks = mib, 12
	url := c.create(t, chunk*chunks)
	for i := range chunks {
		c.append(t, url, int64(i*chunk), chunk)
		if strings.Contains(c.daemon.Output(), bufferingWarning) {
			c.wantWarning(t, bufferingWarning)
			return
		}
	}
	t.Errorf("%d chunks were buffered, and there is no warning:\n%s", chunks, c.daemon.Output())
}

// append sends a PATCH of n bytes.
func (c *chain) append(t *testing.T, url string, offset int64, n int) {
	t.Helper()
	request := c.request(t, http.MethodPatch, url, bytes.NewReader(make([]byte, n)))
	request.Header.Set("Upload-Offset", strconv.FormatInt(offset, 10))
	request.Header.Set("Content-Type", "application/offset+octet-stream")
	if response := c.do(t, request); response.StatusCode != http.StatusNoContent {
		t.Fatalf("PATCH: %s, want 204", response.Status)
	}
}

// TestDaemonWarnsOfUntrustedProxy lets the daemon trust no proxy, so that Location has
// http for a request over https.
func TestDaemonWarnsOfUntrustedProxy(t *testing.T) {
	t.Parallel()
	c := startChain(t, nginx, "https", "-trusted-proxies", "none")
	if url := c.create(t, 1); !strings.HasPrefix(url, "http://") {
		t.Errorf("Location: %s, though no proxy is trusted about https", url)
	}
	c.wantWarning(t, schemeWarning)
}

// wantWarning waits for a warning that contains text.
func (c *chain) wantWarning(t *testing.T, text string) {
	t.Helper()
	if line := c.awaitLogged(t, text); !strings.Contains(line, "level=WARN") {
		t.Errorf("logged: %s, want a warning", line)
	}
}
