//go:build linux

package e2e

import (
	"crypto/tls"
	"net/http"
	"testing"

	"golang.org/x/net/http2"
)

// TestProxiesAnswerInPlaceOfDaemon sends requests to proxies while the daemon is down.
// Their answers must not make a client abandon its upload: after HEAD, tus-js-client
// retries for 423 only.
func TestProxiesAnswerInPlaceOfDaemon(t *testing.T) {
	for _, kind := range allProxies {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			c := startChain(t, kind, "https")
			// Over HTTP/2, and to a second request of a connection, HAProxy closes the
			// connection without an answer, so that the client tries again.
			c.useHTTP(1)
			c.client.Transport.(*http.Transport).DisableKeepAlives = true
			url := c.create(t, 1)
			c.daemon.Kill()
			for _, q := range outageRequests {
				c.wantAnswer(t, url, q)
			}
		})
	}
}

// outageRequest is a request while the daemon is down.
type outageRequest struct {
	method, field, value string
	locked               bool // the answer must be 423; otherwise 5xx
}

const interopField = "Upload-Draft-Interop-Version"

var outageRequests = []outageRequest{
	{http.MethodHead, "Tus-Resumable", "1.0.0", true},
	{http.MethodHead, interopField, "5", true},
	{http.MethodHead, interopField, "6", true},
	{http.MethodHead, interopField, "9", false},
	{http.MethodPatch, "Tus-Resumable", "1.0.0", false},
}

func (c *chain) wantAnswer(t *testing.T, url string, q outageRequest) {
	t.Helper()
	request := c.request(t, q.method, url, nil)
	request.Header.Del("Tus-Resumable")
	request.Header.Set(q.field, q.value)
	response := c.do(t, request)
	right := response.StatusCode >= 500
	if q.locked {
		right = response.StatusCode == http.StatusLocked
	}
	if !right || response.Header.Get("Retry-After") == "" {
		t.Errorf("%+v: %s with %v, want Retry-After, too", q, response.Status, response.Header)
	}
}

// TestProxiesGrantWideWindows checks the flow-control window of HTTP/2. It limits the
// content of an upload per round trip.
func TestProxiesGrantWideWindows(t *testing.T) {
	for _, kind := range allProxies {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			c := startChain(t, kind, "https")
			if got := c.initialWindow(t); got < mib {
				t.Errorf("the window of a stream is %d bytes, want at least %d", got, mib)
			}
		})
	}
}

// initialWindow returns the window in the proxy's first SETTINGS.
func (c *chain) initialWindow(t *testing.T) (bytes uint32) {
	t.Helper()
	config := c.client.Transport.(*http.Transport).TLSClientConfig.Clone()
	config.NextProtos = []string{http2.NextProtoTLS}
	conn, err := tls.Dial("tcp", c.proxy.secure, config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	frame, err := framer.ReadFrame()
	settings, ok := frame.(*http2.SettingsFrame)
	if err != nil || !ok {
		t.Fatalf("the first frame is %v (%v), want settings", frame, err)
	}
	bytes, ok = settings.Value(http2.SettingInitialWindowSize)
	if !ok {
		return 65_535 // the default of RFC 9113
	}
	return bytes
}
