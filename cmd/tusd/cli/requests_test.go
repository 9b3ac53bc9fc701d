package cli

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/tusclient"
)

// answered is a complete answer.
type answered struct {
	status int
	header http.Header
	body   string
}

// send sends a request with header lines of the form "Name: value".
func send(t *testing.T, method, url, content string, header ...string) answered {
	t.Helper()
	a, err := tusclient.Do(method, url, []byte(content), header...)
	if err != nil {
		t.Fatal(err)
	}
	return answered{a.Status, a.Header, string(a.Body)}
}

// tus is send for requests of tus 1.0.
func tus(t *testing.T, method, url, content string, header ...string) answered {
	t.Helper()
	header = append(header, tusclient.Version)
	if content != "" {
		header = append(header, tusclient.OffsetStream)
	}
	return send(t, method, url, content, header...)
}

// want checks the status and header lines of an answer. A line without a value must be
// absent.
func (a answered) want(t *testing.T, status int, header ...string) answered {
	t.Helper()
	if a.status != status {
		t.Errorf("status %d, want %d: %s", a.status, status, a.body)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		if got := strings.Join(a.header.Values(name), "\n"); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	return a
}

// create creates an upload and returns its URL.
func create(t testing.TB, client *http.Client, url, length string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Tus-Resumable", "1.0.0")
	req.Header.Set("Upload-Length", length)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("POST %s: %s", url, resp.Status)
	}
	return resp.Header.Get("Location")
}

// do sends a tus request without content and returns the answer.
func do(t testing.TB, client *http.Client, method, url string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Tus-Resumable", "1.0.0")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

// fetch sends a GET and returns the status and the body.
func fetch(t *testing.T, url string) (status int, body string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(content)
}
