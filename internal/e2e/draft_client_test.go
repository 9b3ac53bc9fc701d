package e2e

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tus/tusd/internal/tusclient"
)

// draftClient uploads as a client of the IETF draft that reads 104 responses, in one of
// the interop versions 3 to 9, as Apple's URLSession does: it sends all content in one
// request, reads the upload's URL from a 104, requests the offset after an error, and
// sends the rest. It also checks that the server's answers do not contradict each other.
type draftClient struct {
	t          *testing.T
	transport  http.RoundTripper
	creation   string // the URL where uploads are created
	interop    int
	content    []byte
	maxContent int64                     // the most content of one request in bytes
	wrapBody   func(io.Reader) io.Reader // wraps the content of a request; nil: it is not wrapped

	located chan struct{} // closed when a 104 or an answer has had the URL
	resumed []int64       // the offsets in answers to HEAD

	mu             sync.Mutex
	url            string
	lastOffset     int64 // the last offset in an answer or a 104
	interimOffsets int   // 104s with an offset
}

// clientAttempts bounds the requests of one upload.
const clientAttempts = 200

func newDraftClient(t *testing.T, r *relay, interop int, content []byte) *draftClient {
	return &draftClient{
		t: t, transport: http.DefaultTransport,
		creation: r.url() + "/files/", interop: interop, content: content,
		maxContent: math.MaxInt64, located: make(chan struct{}),
	}
}

// upload sends the content and returns the upload's URL when the upload is complete.
func (c *draftClient) upload() (url string) {
	c.t.Helper()
	for range clientAttempts {
		if c.step() {
			return c.uploadURL()
		}
	}
	c.t.Fatalf("the upload is not complete after %d attempts", clientAttempts)
	return ""
}

// step creates or continues the upload with one request, and reports whether it is
// complete.
func (c *draftClient) step() (complete bool) {
	c.t.Helper()
	url := c.uploadURL()
	if url == "" {
		return c.send(http.MethodPost, c.creation, 0)
	}
	offset, complete := c.awaitOffset(url)
	return complete || c.send(http.MethodPatch, url, offset)
}

// continueUpload completes an upload that another client has begun.
func (c *draftClient) continueUpload(url string) {
	c.t.Helper()
	c.setURL(url)
	c.upload()
}

// uploadURL returns the URL of the upload, "" if it is not known yet.
func (c *draftClient) uploadURL() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.url
}

// send sends as much content from offset on as one request may have, and reports whether
// that completed the upload.
func (c *draftClient) send(method, url string, offset int64) (complete bool) {
	c.t.Helper()
	content := c.content[offset:]
	content = content[:min(int64(len(content)), c.maxContent)]
	last := offset+int64(len(content)) == int64(len(c.content))
	request := c.request(method, url, bytes.NewReader(content))
	request.ContentLength = int64(len(content))
	request.Header.Set(tusclient.Interop(c.interop).CompleteField(last))
	if method == http.MethodPatch {
		request.Header.Set("Upload-Offset", strconv.FormatInt(offset, 10))
	}
	if method == http.MethodPatch && c.interop >= 6 {
		request.Header.Set("Content-Type", "application/partial-upload")
	}
	if c.interop >= 8 {
		request.Header.Set("Upload-Length", strconv.Itoa(len(c.content)))
	}
	response, err := c.transport.RoundTrip(request)
	if err != nil {
		return false // no answer: the next step requests the offset
	}
	defer response.Body.Close()
	return c.checkAnswer(method, response, last)
}

// request returns a request whose 104 responses are handled.
func (c *draftClient) request(method, url string, body io.Reader) *http.Request {
	c.t.Helper()
	if c.wrapBody != nil && body != nil {
		body = c.wrapBody(body)
	}
	trace := &httptrace.ClientTrace{Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
		return c.handleInterim(method, status, http.Header(header))
	}}
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(c.t.Context(), trace), method, url, body)
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header.Set("Upload-Draft-Interop-Version", strconv.Itoa(c.interop))
	return request
}

// checkAnswer checks the answer to a request. last tells whether the request completes
// the upload.
func (c *draftClient) checkAnswer(method string, response *http.Response, last bool) (complete bool) {
	c.t.Helper()
	if location := response.Header.Get("Location"); location != "" && method == http.MethodPost {
		c.setURL(location)
	}
	complete = isComplete(response.Header)
	switch {
	case response.StatusCode < 300:
		if complete != last {
			c.t.Errorf("%s: %s, complete: %v, want %v", method, response.Status, complete, last)
		}
		return last
	case complete:
		c.t.Fatalf("%s: %s with a complete upload", method, response.Status)
	case response.StatusCode < 500 && response.StatusCode != http.StatusConflict:
		content, _ := io.ReadAll(response.Body)
		c.t.Fatalf("%s: %s, after which clients give up\n%s", method, response.Status, content)
	}
	return false
}

// isComplete reads Upload-Complete, or Upload-Incomplete of version 3.
func isComplete(header http.Header) bool {
	return header.Get("Upload-Complete") == "?1" || header.Get("Upload-Incomplete") == "?0"
}

// awaitOffset sends HEAD until an answer has the upload's offset.
func (c *draftClient) awaitOffset(url string) (offset int64, complete bool) {
	c.t.Helper()
	var last string
	for deadline := time.Now().Add(clientLimit); time.Now().Before(deadline); c.sleep() {
		response, err := c.transport.RoundTrip(c.request(http.MethodHead, url, nil))
		if err != nil {
			last = err.Error()
			continue // the connection was cut, or the server is starting
		}
		response.Body.Close()
		last = response.Status
		switch {
		case response.StatusCode < 300:
			return c.readOffset(response.Header)
		case response.StatusCode < 500 && !(response.StatusCode == http.StatusLocked && (c.interop == 5 || c.interop == 6)):
			c.t.Fatalf("HEAD: %s, after which clients abandon the upload", response.Status)
		}
	}
	c.t.Fatalf("HEAD is not answered: %s", last)
	return 0, false
}

// sleep waits between two attempts.
func (c *draftClient) sleep() {
	select {
	case <-time.After(10 * time.Millisecond):
	case <-c.t.Context().Done():
	}
}

// readOffset reads the answer to HEAD. Its offset must not be smaller than an
// acknowledged one.
func (c *draftClient) readOffset(header http.Header) (offset int64, complete bool) {
	c.t.Helper()
	offset, err := strconv.ParseInt(header.Get("Upload-Offset"), 10, 64)
	if err != nil || offset > int64(len(c.content)) || header.Get("Cache-Control") != "no-store" {
		c.t.Fatalf("HEAD is answered with %v", header)
	}
	if header.Get("Upload-Limit") == "" || header.Get("Upload-Complete")+header.Get("Upload-Incomplete") == "" {
		c.t.Errorf("HEAD is answered without limits or completeness: %v", header)
	}
	c.recordOffset(offset, 0)
	c.resumed = append(c.resumed, offset)
	return offset, isComplete(header)
}

// recordOffset records an offset from the server. It must be larger than the last one by
// at least more.
func (c *draftClient) recordOffset(offset, more int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if offset < c.lastOffset+more {
		c.t.Errorf("Upload-Offset: %d, after %d had been acknowledged", offset, c.lastOffset)
	}
	c.lastOffset = offset
}

// acknowledged returns the last offset from the server.
func (c *draftClient) acknowledged() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastOffset
}

// handleInterim handles a 1xx response.
func (c *draftClient) handleInterim(method string, status int, header http.Header) error {
	version, location := header.Get("Upload-Draft-Interop-Version"), header.Get("Location")
	if status != 104 || version != strconv.Itoa(c.interop) {
		return fmt.Errorf("%d with version %q, want 104 with %d", status, version, c.interop)
	}
	if location != "" {
		c.setURL(location)
		if method != http.MethodPost {
			c.t.Errorf("104 to %s has a Location", method)
		}
	}
	if value := header.Get("Upload-Offset"); value != "" {
		offset, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return err
		}
		c.recordOffset(offset, 1)
		c.countInterim()
	}
	return nil
}

// setURL records the URL of the upload, which must not change.
func (c *draftClient) setURL(url string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.url {
	case url:
	case "":
		c.url = url
		close(c.located)
	default:
		c.t.Errorf("Location: %s, after %s", url, c.url)
	}
}

// countInterim counts a 104 with an offset.
func (c *draftClient) countInterim() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interimOffsets++
}

// interimCount returns the number of 104s with an offset.
func (c *draftClient) interimCount() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.interimOffsets
}

// awaitURL waits until the URL is known, so that the upload can be resumed.
func (c *draftClient) awaitURL() {
	select {
	case <-c.located:
	case <-time.After(clientLimit):
		c.t.Error("no 104 has the URL of the upload")
	}
}

// limit returns one member of Upload-Limit in the answer to OPTIONS; 0: it is missing.
func (c *draftClient) limit(name string) int64 {
	c.t.Helper()
	response, err := c.transport.RoundTrip(c.request(http.MethodOptions, c.creation, nil))
	if err != nil {
		c.t.Fatal(err)
	}
	response.Body.Close()
	limits := strings.Split(response.Header.Get("Upload-Limit"), ", ")
	if response.StatusCode != http.StatusOK || limits[0] == "" {
		c.t.Fatalf("OPTIONS: %s with %v, want 200 with Upload-Limit", response.Status, response.Header)
	}
	i := slices.IndexFunc(limits, func(l string) bool { return strings.HasPrefix(l, name+"=") })
	if i < 0 {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimPrefix(limits[i], name+"="), 10, 64)
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}
