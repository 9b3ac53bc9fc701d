//go:build linux

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tus/tusd/internal/faulttest"
	"github.com/tus/tusd/internal/loopback"
)

// proxiedSize is the size of an upload without faults.
const proxiedSize = 20*mib + 1

func TestProxiesUpload(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		for _, kind := range allProxies {
			t.Run(kind.String()+" "+scheme, func(t *testing.T) {
				t.Parallel()
				startChain(t, kind, scheme).upload(t, proxiedSize)
			})
		}
	}
}

// TestProxiesReachUnixSocket connects the proxy to the daemon by a Unix socket.
func TestProxiesReachUnixSocket(t *testing.T) {
	t.Parallel()
	nginxUnix.need(t)
	socket := filepath.Join(t.TempDir(), "tusd.sock")
	launch := faulttest.Launch{Binary: builder.Binary(t, ""), Dir: t.TempDir(), Socket: socket}
	s := &service{daemon: faulttest.Start(t, launch), launch: launch}
	c := newChain(t, s, startProxy(t, nginxUnix, socket, nil), "https")
	c.upload(t, proxiedSize)
}

// TestProxiesUploadAsDraft uploads with the IETF drafts of tus-js-client.
func TestProxiesUploadAsDraft(t *testing.T) {
	for _, draft := range drafts {
		for _, kind := range allProxies {
			t.Run(kind.String()+" "+draft, func(t *testing.T) {
				t.Parallel()
				startChain(t, kind, "https").uploadWith(t, lossSize, map[string]any{"protocol": draft})
			})
		}
	}
}

// TestProxiesResume cuts a connection in the middle of an upload, before or behind the
// proxy.
func TestProxiesResume(t *testing.T) {
	for place, relayOf := range map[string]func(*chain) *relay{
		"before": func(c *chain) *relay { return c.front },
		"behind": func(c *chain) *relay { return c.relay },
	} {
		for _, kind := range allProxies {
			t.Run("cut "+place+" "+kind.String(), func(t *testing.T) {
				t.Parallel()
				c := startChain(t, kind, "https")
				cut := relayOf(c)
				cut.after(lossAt, cut.cut)
				c.upload(t, lossSize)
				wantResumed(t, c.service)
			})
		}
	}
}

// TestProxiesWaitForRestart kills the server in the middle of an upload and restarts it
// after the client's HEAD. The proxy's answers in between must not make the client start
// again.
func TestProxiesWaitForRestart(t *testing.T) {
	for _, kind := range allProxies {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			kind.need(t)
			address := loopback.Address()
			host, port, _ := strings.Cut(address, ":")
			s := startService(t, t.TempDir(), "-host", host, "-port", port)
			c := newChain(t, s, startProxy(t, kind, address, nil), "http")
			c.httpRelay = c.front
			c.restartAfterHead(t, lossAt)
			c.upload(t, lossSize)
		})
	}
}

// restartAfterHead kills the daemon after n bytes from the client, and starts a new one
// when the client has sent a HEAD.
func (c *chain) restartAfterHead(t *testing.T, n int64) {
	var once sync.Once
	asked := make(chan struct{})
	c.front.onRequest(func(e exchange) {
		if e.Method == http.MethodHead {
			once.Do(func() { close(asked) })
		}
	})
	killed := make(chan struct{})
	c.front.after(n, func() {
		c.daemon.Kill()
		close(killed)
	})
	var restarted sync.WaitGroup
	restarted.Go(func() {
		for _, event := range []chan struct{}{killed, asked} {
			select {
			case <-event:
			case <-t.Context().Done():
				return
			}
		}
		c.restart(t)
	})
	t.Cleanup(restarted.Wait)
}

// TestProxiesCurl uploads over HTTP/2 with curl.
func TestProxiesCurl(t *testing.T) {
	for _, kind := range slices.Concat(allProxies, h2cProxies) {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			c := startChain(t, kind, "https")
			file, sum := writeContent(t, lossSize)
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			first, second := cut(t, content, lossAt)
			offset := fmt.Sprint("upload-offset: ", lossAt)
			trust := []string{"--cacert", c.proxy.certificate, "--http2"}

			header, _ := curl(t, append(trust, "--data-binary", "@"+first, c.url()+"/files/",
				"--header", "Upload-Length: 8388609", "--header", offsetStream)...)
			wantLines(t, header, "HTTP/2 201", offset)
			url := field(header, "location")
			header, _ = curl(t, append(trust, "--request", "PATCH", "--data-binary", "@"+second, url,
				"--header", offset, "--header", offsetStream)...)
			wantLines(t, header, "HTTP/2 204", "upload-offset: 8388609")
			c.wantContent(t, url, sum)
		})
	}
}
