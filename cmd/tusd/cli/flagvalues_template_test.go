package cli

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/s3server"
)

// The server and the doctor refuse an invalid template as a usage error, with the
// same message for a directory and a bucket.
func TestTemplatesOfBothStores(t *testing.T) {
	cleanAWS(t)
	for _, template := range []string{
		"a/{id}/..", "{id}/.", "../{id}", "./{id}", "a//{id}", "/{id}", "{id}/", "{filename}", "{id}/{name}", `a\{id}`, "a\x01{id}", "a\u202e{id}",
		"\xff{id}", "C:{id}", "con/{id}", "{id}.", "{id}.info", "{id}.lock", ".tusd.d/{id}", strings.Repeat("x", 224) + "{id}", strings.Repeat("x/", 485) + "{id}",
	} {
		messages := make(map[string]bool)
		for _, args := range [][]string{
			{"-upload-dir", "/nonexistent/uploads", "-file-key", template},
			{"-s3-bucket", "b", "-s3-endpoint", "http://127.0.0.1:1", "-s3-key", template},
		} {
			code, _, stderr := run(args...)
			if code != exitUsage || !strings.Contains(stderr, "-key: the template") {
				t.Errorf("%q: exit code %d, %s", args, code, stderr)
			}
			_, sentence, _ := strings.Cut(stderr, "-key: ")
			messages[sentence] = true
			if code, _, _ := diagnose(t, args...); code != exitUsage {
				t.Errorf("%q: the doctor's exit code is %d", args, code)
			}
		}
		if len(messages) != 1 {
			t.Errorf("%q is refused with different messages: %v", template, messages)
		}
	}
}

// Both stores derive the same name from a client's file name.
func TestFileNamesOfBothStores(t *testing.T) {
	dir, service := t.TempDir(), s3server.Start(t, s3server.Options{})
	files := start(t, "-upload-dir", dir, "-file-key", "data/{id}/{filename}")
	bucket := startInBucket(t, service, "-s3-key", "data/{id}/{filename}")
	for name, want := range map[string]string{
		"report.pdf": "report.pdf", "": "file", "../a b+c (1).pdf": "_a_b_c_(1).pdf", "x.info": "x.info_", "हिन्दी.txt": "हिन्दी.txt",
		strings.Repeat("ä", 400) + ".txt": strings.Repeat("ä", 72) + ".txt",
	} {
		metadata := "filename " + base64.StdEncoding.EncodeToString([]byte(name))
		id := strings.TrimPrefix(tus(t, "POST", files.url, "a", "Upload-Length: 1", "Upload-Metadata: "+metadata).want(t, 201).header.Get("Location"), files.url)
		if _, err := os.Stat(filepath.Join(dir, "data", id, want)); err != nil {
			t.Errorf("%q in a directory: %v", name, err)
		}
		id = strings.TrimPrefix(tus(t, "POST", bucket.url, "a", "Upload-Length: 1", "Upload-Metadata: "+metadata).want(t, 201).header.Get("Location"), bucket.url)
		if _, ok := service.Object("data/" + id + "/" + want); !ok {
			t.Errorf("%q in a bucket: not among %q", name, keysIn(service))
		}
	}
}
