package cli

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// docs/metrics.md: bytes count when the content of a request ends. Rejected ones do
// not, nor do those that a final upload copies.
func TestBytesReceivedDoc(t *testing.T) {
	dir := t.TempDir()
	d := start(t, "-upload-dir", dir)
	counted := func(want string) {
		t.Helper()
		if _, metrics := fetch(t, strings.TrimSuffix(d.url, "files/")+"metrics"); !strings.Contains(metrics, "\ntusd_bytes_received "+want+"\n") {
			t.Errorf("not counted as %s", want)
		}
	}
	location := create(t, http.DefaultClient, d.url, "10")
	read, write := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, location, read)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"} {
		req.Header.Set(name, value)
	}
	answered := make(chan error, 1)
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			err = resp.Body.Close()
		}
		answered <- err
	}()
	io.WriteString(write, "hello")
	await(t, "the bytes to be stored", func() bool {
		info, err := os.Stat(filepath.Join(dir, filepath.Base(location)))
		return err == nil && info.Size() == 5
	})
	counted("0")
	io.WriteString(write, "world")
	write.Close()
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	counted("10")

	rejected := create(t, http.DefaultClient, d.url, "5")
	tus(t, "PATCH", rejected, "hello", "Upload-Offset: 0", "Upload-Checksum: sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=").want(t, 460)
	counted("10")
	partial := tus(t, "POST", d.url, "abc", "Upload-Length: 3", "Upload-Concat: partial").want(t, 201).header.Get("Location")
	tus(t, "POST", d.url, "", "Upload-Concat: final;"+partial).want(t, 201)
	counted("13")
}
