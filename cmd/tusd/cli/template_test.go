package cli

import (
	"strings"
	"testing"
)

// A template is refused by the flag, the server's and the doctor's, in the same
// words for a directory and a bucket.
func TestTemplatesOfBothStores(t *testing.T) {
	cleanAWS(t)
	for _, template := range []string{
		"a/{id}/..", "{id}/.", "../{id}", "./{id}", "a//{id}", "/{id}", "{id}/", "{filename}", "{id}/{name}", `a\{id}`, "a\x01{id}", "a\u202e{id}",
		"\xff{id}", "C:{id}", "con/{id}", "{id}.", "{id}.info", "{id}.lock", ".tusd.d/{id}", strings.Repeat("x", 224) + "{id}", strings.Repeat("x/", 485) + "{id}",
	} {
		told := make(map[string]bool)
		for _, args := range [][]string{
			{"-upload-dir", "/nonexistent/uploads", "-file-key", template},
			{"-s3-bucket", "b", "-s3-endpoint", "http://127.0.0.1:1", "-s3-key", template},
		} {
			code, _, stderr := run(args...)
			if code != exitUsage || !strings.Contains(stderr, "-key: the template") {
				t.Errorf("%q: exit code %d, %s", args, code, stderr)
			}
			_, sentence, _ := strings.Cut(stderr, "-key: ")
			told[sentence] = true
			if code, _, _ := diagnose(t, args...); code != exitUsage {
				t.Errorf("%q: the doctor's exit code is %d", args, code)
			}
		}
		if len(told) != 1 {
			t.Errorf("%q is refused in different words: %v", template, told)
		}
	}
}
