package cli

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/tusclient"
	"github.com/tus/tusd/internal/wire"
)

// docs/metrics.md: bytes count when the content of a request ends. Bytes of refused
// chunks do not count, nor do bytes that a final upload copies.
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
	patch, err := tusclient.New(d.address(t)).OpenPatch("/files/"+filepath.Base(location), 0, wire.Unknown)
	if err == nil {
		_, err = patch.Write([]byte("hello"))
	}
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the bytes to be stored", func() bool {
		info, err := os.Stat(filepath.Join(dir, filepath.Base(location)))
		return err == nil && info.Size() == 5
	})
	counted("0")
	if err := patch.Send([]byte("world")); err != nil {
		t.Fatal(err)
	}
	if answer, err := patch.Answer(); err != nil {
		t.Fatal(answer, err)
	}
	counted("10")

	rejected := create(t, http.DefaultClient, d.url, "5")
	tus(t, "PATCH", rejected, "hello", "Upload-Offset: 0", "Upload-Checksum: sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=").want(t, 460)
	counted("10")
	partial := tus(t, "POST", d.url, "abc", "Upload-Length: 3", "Upload-Concat: partial").want(t, 201).header.Get("Location")
	tus(t, "POST", d.url, "", "Upload-Concat: final;"+partial).want(t, 201)
	counted("13")
}
