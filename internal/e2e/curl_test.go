//go:build linux

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/require"
)

// curl runs curl and returns the header block and the content of the answer.
func curl(t *testing.T, arguments ...string) (header, content string) {
	t.Helper()
	_, err := exec.LookPath("curl")
	require.Need(t, "curl", err == nil, "curl is not on the PATH")
	headers := filepath.Join(t.TempDir(), "headers")
	arguments = slices.Concat([]string{"--silent", "--show-error", "--max-time", "30",
		"--header", "Tus-Resumable: 1.0.0", "--dump-header", headers}, arguments)
	command := exec.CommandContext(t.Context(), "curl", arguments...)
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	lines, err := os.ReadFile(headers)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(lines), "\r\n", "\n"), string(output)
}

// wantLines checks that header has each line.
func wantLines(t *testing.T, header string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains("\n"+header, "\n"+line) {
			t.Errorf("no line %q in\n%s", line, header)
		}
	}
}

// field returns the value of one line of header.
func field(header, name string) string {
	for line := range strings.Lines(header) {
		if value, ok := strings.CutPrefix(line, name+": "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

const offsetStream = "Content-Type: application/offset+octet-stream"

func TestCurl(t *testing.T) {
	s := startService(t, t.TempDir())
	file, sum := writeContent(t, 3*mib)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	first, second := cut(t, content, 2*mib)

	header, _ := curl(t, "--request", "POST", s.url()+"/files/", "--header", "Upload-Length: 3145728")
	wantLines(t, header, "HTTP/1.1 201 Created", "Tus-Resumable: 1.0.0")
	url := field(header, "Location")

	// curl sends a large body after 100 Continue.
	header, _ = curl(t, "--request", "PATCH", url, "--data-binary", "@"+first,
		"--header", "Upload-Offset: 0", "--header", offsetStream, "--header", "Expect: 100-continue")
	wantLines(t, header, "HTTP/1.1 100 Continue", "HTTP/1.1 204 No Content", "Upload-Offset: 2097152")

	header, _ = curl(t, "--head", url)
	wantLines(t, header, "HTTP/1.1 200 OK", "Upload-Offset: 2097152", "Upload-Length: 3145728", "Cache-Control: no-store")

	header, _ = curl(t, "--request", "PATCH", url, "--data-binary", "@"+second,
		"--header", "Upload-Offset: 2097152", "--header", offsetStream)
	wantLines(t, header, "HTTP/1.1 204 No Content", "Upload-Offset: 3145728")

	_, got := curl(t, url)
	if sumOf(t, strings.NewReader(got)) != sum {
		t.Errorf("GET: %d bytes that are not those of the upload", len(got))
	}
	header, got = curl(t, url, "--range", "2097150-2097153")
	wantLines(t, header, "HTTP/1.1 206 Partial Content", "Content-Range: bytes 2097150-2097153/3145728")
	if want := string(content[2097150:2097154]); got != want {
		t.Errorf("range: %q, want %q", got, want)
	}
}

// TestCurlIsRefusedBeforeItSends sends a PATCH with a wrong offset: the answer comes
// without 100 Continue.
func TestCurlIsRefusedBeforeItSends(t *testing.T) {
	s := startService(t, t.TempDir())
	file, _ := writeContent(t, 3*mib)
	header, _ := curl(t, "--request", "POST", s.url()+"/files/", "--header", "Upload-Length: 3145728")
	header, _ = curl(t, "--request", "PATCH", field(header, "Location"), "--data-binary", "@"+file,
		"--header", "Upload-Offset: 1", "--header", offsetStream, "--header", "Expect: 100-continue")
	wantLines(t, header, "HTTP/1.1 409 Conflict", "Upload-Offset: 0")
	if strings.Contains(header, "100 Continue") {
		t.Errorf("the server sent 100 Continue:\n%s", header)
	}
}

// cut writes the two parts of content into files and returns their names.
func cut(t *testing.T, content []byte, at int) (first, second string) {
	t.Helper()
	folder := t.TempDir()
	first, second = filepath.Join(folder, "first"), filepath.Join(folder, "second")
	for name, part := range map[string][]byte{first: content[:at], second: content[at:]} {
		if err := os.WriteFile(name, part, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return first, second
}
