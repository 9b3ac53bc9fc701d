//go:build linux

package e2e

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestProxiesReplaceForwardedHeaders sends forged Forwarded and X-Forwarded-* fields. The
// proxy replaces them by the true address, host and scheme.
func TestProxiesReplaceForwardedHeaders(t *testing.T) {
	for _, kind := range allProxies {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			c := startChain(t, kind, "https", "-trusted-proxies", "127.0.0.1/32")
			const self = "127.0.0.9"
			c.connectFrom(self)
			request := c.request(t, http.MethodPost, c.url()+"/files/", nil)
			request.Header.Set("Upload-Length", "1")
			request.Header.Set("Forwarded", "for=192.0.2.1;host=liar.example;proto=http")
			request.Header.Set("X-Forwarded-For", "192.0.2.1")
			request.Header.Set("X-Forwarded-Host", "liar.example")
			request.Header.Set("X-Forwarded-Proto", "http")
			response := c.do(t, request)

			if location := response.Header.Get("Location"); !strings.HasPrefix(location, c.url()+"/files/") {
				t.Errorf("Location: %q, want it below %s/files/", location, c.url())
			}
			line := c.awaitLogged(t, "method=POST")
			if !strings.Contains(line, "client="+self+" ") {
				t.Errorf("logged: %q, want the address %s", line, self)
			}
		})
	}
}

// connectFrom makes the client connect from host directly to the proxy, without the
// relay, so that the proxy sees the client's address.
func (c *chain) connectFrom(host string) {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(host)}}
	c.client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, c.proxy.secure)
	}
}

// awaitLogged returns the first line of the daemon's log that contains text.
func (c *chain) awaitLogged(t *testing.T, text string) (line string) {
	t.Helper()
	for deadline := time.Now().Add(clientLimit / 2); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		for line := range strings.Lines(c.daemon.Output()) {
			if strings.Contains(line, text) {
				return strings.TrimSpace(line)
			}
		}
	}
	t.Fatalf("%q is not in the log:\n%s", text, c.daemon.Output())
	return ""
}
