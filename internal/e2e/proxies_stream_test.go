//go:build linux

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// TestProxiesStreamRequests sends half of a body and waits until the daemon has stored
// it. A proxy that buffers requests does not forward it.
func TestProxiesStreamRequests(t *testing.T) {
	for _, kind := range slices.Concat(allProxies, h2cProxies) {
		for name, way := range map[string]struct {
			version int
			length  int64 // -1: unknown
		}{
			"HTTP/1": {1, 2 * halfBody}, "HTTP/1 chunked": {1, -1}, "HTTP/2": {2, 2 * halfBody},
		} {
			t.Run(kind.String()+" "+name, func(t *testing.T) {
				t.Parallel()
				c := startChain(t, kind, "https")
				c.useHTTP(way.version)
				content, sum := makeContent(t, 2*halfBody)
				url := c.create(t, len(content))

				body, send := io.Pipe()
				answer := c.patch(t, url, body, way.length, way.version)
				send.Write(content[:halfBody])
				c.awaitData(t, url, halfBody)
				send.Write(content[halfBody:])
				send.Close()
				if status := <-answer; status != http.StatusNoContent {
					t.Fatalf("PATCH: %d, want 204", status)
				}
				c.wantContent(t, url, sum)
			})
		}
	}
}

// halfBody is smaller than the buffers of proxies.
const halfBody = 50_001

// useHTTP sets the client's version of HTTP.
func (c *chain) useHTTP(version int) {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(version == 1)
	protocols.SetHTTP2(version == 2)
	c.client.Transport.(*http.Transport).Protocols = protocols
}

// create creates an upload and returns its URL.
func (c *chain) create(t *testing.T, size int) (url string) {
	t.Helper()
	request := c.request(t, http.MethodPost, c.url()+"/files/", nil)
	request.Header.Set("Upload-Length", strconv.Itoa(size))
	response := c.do(t, request)
	if response.StatusCode != http.StatusCreated {
		t.Fatalf("POST: %s, want 201", response.Status)
	}
	return response.Header.Get("Location")
}

func (c *chain) request(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Tus-Resumable", "1.0.0")
	return request
}

func (c *chain) do(t *testing.T, request *http.Request) *http.Response {
	t.Helper()
	response, err := c.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response
}

// patch sends body in the background. status gets the status of the answer; 0: there was
// no answer, or it came with another version of HTTP.
func (c *chain) patch(t *testing.T, url string, body io.Reader, size int64, version int) (status <-chan int) {
	t.Helper()
	request := c.request(t, http.MethodPatch, url, body)
	request.ContentLength = size
	request.Header.Set("Upload-Offset", "0")
	request.Header.Set("Content-Type", "application/offset+octet-stream")
	answered := make(chan int, 1)
	go func() {
		defer close(answered)
		response, err := c.client.Do(request)
		if err != nil || response.ProtoMajor != version {
			t.Errorf("PATCH: %v (%v), want an answer in HTTP/%d", response, err, version)
			return
		}
		response.Body.Close()
		answered <- response.StatusCode
	}()
	return answered
}

// awaitData waits until n bytes of the upload are in its file.
func (c *chain) awaitData(t *testing.T, url string, n int64) {
	t.Helper()
	file := filepath.Join(c.launch.Dir, path.Base(url))
	var size int64
	for deadline := time.Now().Add(clientLimit / 2); size < n; {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes were sent, and %d are stored", n, size)
		}
		if info, err := os.Stat(file); err == nil {
			size = info.Size()
		}
		time.Sleep(time.Millisecond)
	}
}

// TestProxiesPassInterimResponses checks the table in docs/proxies.md: it lists the
// proxies that forward the 104 responses of the IETF draft.
func TestProxiesPassInterimResponses(t *testing.T) {
	for _, c := range []struct {
		kind   proxyKind
		passed bool
	}{
		{nginx, false}, {haproxy, true}, {caddy, true}, {haproxyH2C, true}, {caddyH2C, true},
	} {
		for _, version := range []int{1, 2} {
			t.Run(fmt.Sprintf("%v HTTP/%d", c.kind, version), func(t *testing.T) {
				t.Parallel()
				chain := startChain(t, c.kind, "https")
				chain.useHTTP(version)
				interim, status := chain.createAsDraft(t)
				if slices.Contains(interim, 104) != c.passed || status != http.StatusCreated {
					t.Errorf("interim responses %v, then %d; want 104: %v, then 201", interim, status, c.passed)
				}
			})
		}
	}
}

// createAsDraft creates an upload with content in the IETF draft.
func (c *chain) createAsDraft(t *testing.T) (interim []int, status int) {
	t.Helper()
	request := c.request(t, http.MethodPost, c.url()+"/files/", bytes.NewReader(make([]byte, mib)))
	request.Header.Del("Tus-Resumable")
	request.Header.Set("Upload-Draft-Interop-Version", strconv.Itoa(newestInterop))
	request.Header.Set("Upload-Complete", "?1")
	trace := &httptrace.ClientTrace{Got1xxResponse: func(status int, _ textproto.MIMEHeader) error {
		interim = append(interim, status)
		return nil
	}}
	response := c.do(t, request.WithContext(httptrace.WithClientTrace(request.Context(), trace)))
	return interim, response.StatusCode
}
