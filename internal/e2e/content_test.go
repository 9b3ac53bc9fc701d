package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// mib is one mebibyte.
const mib = 1 << 20

// writeContent writes a file of size random bytes and returns its name and SHA-256.
func writeContent(t *testing.T, size int64) (name, sum string) {
	t.Helper()
	content, sum := makeContent(t, size)
	name = filepath.Join(t.TempDir(), "content")
	if err := os.WriteFile(name, content, 0o666); err != nil {
		t.Fatal(err)
	}
	return name, sum
}

// makeContent returns size random bytes and their SHA-256.
func makeContent(t *testing.T, size int64) (content []byte, sum string) {
	t.Helper()
	seed := [32]byte{}
	copy(seed[:], t.Name())
	content = make([]byte, size)
	rand.NewChaCha8(seed).Read(content)
	return content, sumOf(t, bytes.NewReader(content))
}

func sumOf(t *testing.T, content io.Reader) string {
	t.Helper()
	hash := sha256.New()
	if _, err := io.Copy(hash, content); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// wantContent downloads url and compares the SHA-256 of the content.
func wantContent(t *testing.T, url, sum string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, want 200", url, response.Status)
	}
	if got := sumOf(t, response.Body); got != sum {
		t.Errorf("GET %s: SHA-256 %s, want %s", url, got, sum)
	}
}

// wantPosts checks the number of POSTs.
func wantPosts(t *testing.T, r *relay, want int) {
	t.Helper()
	if got := len(r.seen("POST")); got != want {
		t.Errorf("%d POSTs passed, want %d", got, want)
		logExchanges(t, r)
	}
}

func logExchanges(t *testing.T, r *relay) {
	t.Helper()
	for _, e := range r.seen("POST", "HEAD", "PATCH") {
		t.Logf("%s %s %s: %d %s", e.Method, e.Path, e.Concat, e.Status, e.Location)
	}
}

// upload runs j through r and returns the URL of the upload, as the client sees it.
func upload(t *testing.T, r *relay, j job) (url string) {
	t.Helper()
	options := map[string]any{
		"endpoint": r.url() + "/files/",
		"metadata": map[string]any{"filename": "content ☺.bin"},
	}
	for name, value := range j.Options {
		options[name] = value
	}
	j.Options = options
	url = j.run(t)
	if !strings.HasPrefix(url, r.url()+"/files/") {
		t.Fatalf("%s uploaded to %q, want a URL below %s", j.Client, url, r.url())
	}
	return url
}
