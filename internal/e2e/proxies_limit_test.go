//go:build linux

package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/require"
)

// answerLimit is the default of -max-metadata-size.
const answerLimit = 14 << 10

// TestProxiesAnswerWhatIsAccepted creates the uploads with the largest answers through
// each documented proxy. The answers must pass the proxy and fit into the limits of
// standard clients.
func TestProxiesAnswerWhatIsAccepted(t *testing.T) {
	needStandardClients(t)
	for _, scheme := range []string{"http", "https"} {
		for _, kind := range append(allProxies, h2cProxies...) {
			t.Run(kind.String()+" "+scheme, func(t *testing.T) {
				t.Parallel()
				c := startChain(t, kind, scheme)
				c.metadataAtLimit(t)
				c.finalAtLimit(t)
				c.nameAtLimit(t)
				c.draftAtLimit(t)
			})
		}
	}
}

// The standard clients of Node.js and Python. Each prints a status and one field.
const (
	nodeAsks = `const [url, method, field, ...headers] = process.argv.slice(1);
const request = require(url.split(":")[0]).request(url, { method, headers: Object.fromEntries(headers.map(line => line.split(": "))) });
request.on("response", response => { response.resume(); console.log(response.statusCode, response.headers[field.toLowerCase()]); });
request.on("error", err => { console.log(String(err)); });
request.end();`
	pythonAsks = `import sys, http.client, ssl, os
from urllib.parse import urlsplit
url, method, field, *headers = sys.argv[1:]
at = urlsplit(url)
if at.scheme == "https":
    trust = ssl.create_default_context(cafile=os.environ["NODE_EXTRA_CA_CERTS"])
    connection = http.client.HTTPSConnection(at.netloc, context=trust)
else:
    connection = http.client.HTTPConnection(at.netloc)
connection.request(method, at.path, headers=dict(line.split(": ", 1) for line in headers))
response = connection.getresponse()
print(response.status, response.getheader(field))`
)

// wantField sends a request with each client and compares the status and a field.
func (c *chain) wantField(t *testing.T, method, url string, status int, field, want string, headers ...string) {
	t.Helper()
	response := c.send(t, method, url, "", headers...)
	if got := response.Header.Get(field); response.StatusCode != status || got != want {
		t.Errorf("%s %s: %s, %s of %d bytes; want %d and %d bytes", method, url, response.Status, field, len(got), status, len(want))
	}
	line := strconv.Itoa(status) + " " + want
	for _, client := range [][]string{{"node", "-e", nodeAsks}, {python, "-c", pythonAsks}} {
		if got := c.ask(t, append(client, append([]string{url, method, field}, headers...)...)); got != line {
			t.Errorf("%s: %s %s: %.200q of %d bytes, want %.50q of %d bytes", client[0], method, url, got, len(got), line, len(line))
		}
	}
}

// ask runs a client and returns its output.
func (c *chain) ask(t *testing.T, command []string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clientLimit)
	defer cancel()
	client := exec.CommandContext(ctx, command[0], command[1:]...)
	client.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+c.proxy.certificate)
	var stderr bytes.Buffer
	client.Stderr = &stderr
	output, err := client.Output()
	if err != nil {
		t.Errorf("%s: %v\n%s", command[0], err, stderr.Bytes())
	}
	return strings.TrimSpace(string(output))
}

// send makes a request and reads the answer to its end.
func (c *chain) send(t *testing.T, method, url, content string, headers ...string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		request.Header.Set(name, value)
	}
	response, err := c.client.Do(request)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Errorf("%s %s: %v", method, url, err)
	}
	return response
}

const (
	speaksTus = "Tus-Resumable: 1.0.0"
	tusChunk  = "Content-Type: application/offset+octet-stream"
)

// createUpload sends a creation and returns the URL of the upload.
func (c *chain) createUpload(t *testing.T, content string, headers ...string) string {
	t.Helper()
	response := c.send(t, http.MethodPost, c.url()+"/files/", content, headers...)
	if response.StatusCode != http.StatusCreated {
		t.Fatalf("creation: %s (%s)", response.Status, response.Header)
	}
	return response.Header.Get("Location")
}

// metadataOf returns an Upload-Metadata of n bytes.
func metadataOf(n int) string {
	return "key" + strings.Repeat("k", n%4) + " " + strings.Repeat("YWJj", n/4-1)
}

func (c *chain) metadataAtLimit(t *testing.T) {
	t.Helper()
	largest := metadataOf(answerLimit)
	url := c.createUpload(t, "", speaksTus, "Upload-Length: 1", "Upload-Metadata: "+largest)
	c.wantField(t, http.MethodHead, url, http.StatusOK, "Upload-Metadata", largest, speaksTus, "Origin: https://example.org")
	for _, size := range []int{answerLimit + 1, 15 << 10, 20 << 10} {
		response := c.send(t, http.MethodPost, c.url()+"/files/", "", speaksTus, "Upload-Length: 1", "Upload-Metadata: "+metadataOf(size))
		if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("metadata of %d bytes: %s, want 431", size, response.Status)
		}
	}
}

// finalAtLimit creates a final with as many partials as allowed, named by absolute URLs,
// and with metadata up to the limit.
func (c *chain) finalAtLimit(t *testing.T) {
	t.Helper()
	const partials = 150 // the default of -max-partials
	part := c.createUpload(t, "x", speaksTus, tusChunk, "Upload-Length: 1", "Upload-Concat: partial")
	list := "final;" + strings.TrimSpace(strings.Repeat(part+" ", partials))
	metadata := metadataOf(answerLimit - len(list))
	url := c.createUpload(t, "", speaksTus, "Upload-Concat: "+list, "Upload-Metadata: "+metadata)
	c.wantField(t, http.MethodHead, url, http.StatusOK, "Upload-Concat", list, speaksTus, "Origin: https://example.org")
	c.wantField(t, http.MethodHead, url, http.StatusOK, "Upload-Metadata", metadata, speaksTus)
}

func (c *chain) nameAtLimit(t *testing.T) {
	t.Helper()
	disposition := func(n int) string {
		return fmt.Sprintf(`attachment; filename="_%s"; filename*=UTF-8''%%C3%%A4%[1]s`, strings.Repeat("n", n))
	}
	most := (answerLimit - len("application/octet-stream") - len(disposition(0))) / 2
	name := base64.StdEncoding.EncodeToString([]byte("ä" + strings.Repeat("n", most)))
	url := c.createUpload(t, "x", speaksTus, tusChunk, "Upload-Length: 1", "Upload-Metadata: filename "+name)
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		c.wantField(t, method, url, http.StatusOK, "Content-Disposition", disposition(most), "Origin: https://example.org")
	}
}

// draftAtLimit creates with the IETF draft and sends HEAD in both dialects.
func (c *chain) draftAtLimit(t *testing.T) {
	t.Helper()
	const draft = "Upload-Draft-Interop-Version: 6"
	disposition := `attachment; filename="` + strings.Repeat("n", answerLimit/4*3-50) + `"`
	url := c.createUpload(t, "x", draft, "Upload-Complete: ?1", "Content-Disposition: "+disposition)
	c.wantField(t, http.MethodHead, url, http.StatusNoContent, "Upload-Offset", "1", draft, "Origin: https://example.org")
	c.wantField(t, http.MethodGet, url, http.StatusOK, "Content-Disposition", disposition, draft)
	response := c.send(t, http.MethodHead, url, "", speaksTus)
	if response.StatusCode != http.StatusOK || len(response.Header.Get("Upload-Metadata")) < answerLimit-100 {
		t.Errorf("HEAD of tus: %s with metadata of %d bytes", response.Status, len(response.Header.Get("Upload-Metadata")))
	}
}

// needStandardClients ends the test if Node.js or Python is missing.
func needStandardClients(t *testing.T) {
	t.Helper()
	for name, program := range map[string]string{"node": "node", "tuspy": python} {
		_, err := exec.LookPath(program)
		require.Need(t, name, err == nil, program+" is missing")
	}
}
