package cli

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/tusclient"
	"github.com/tus/tusd/internal/wire"
)

// docs/metrics.md: bytes count while they arrive, also those that a checksum rejects then.
// Bytes that a final upload copies do not count.
func TestBytesReceivedDoc(t *testing.T) {
	d := start(t)
	counted := func(want string) {
		t.Helper()
		await(t, want+" to be counted", func() bool {
			_, metrics := fetch(t, strings.TrimSuffix(d.url, "files/")+"metrics")
			return strings.Contains(metrics, "\ntusd_bytes_received "+want+"\n")
		})
	}
	location := create(t, http.DefaultClient, d.url, "10")
	patch, err := tusclient.New(d.address(t)).OpenPatch("/files/"+filepath.Base(location), 0, wire.Unknown)
	if err == nil {
		_, err = patch.Write([]byte("hello"))
	}
	if err != nil {
		t.Fatal(err)
	}
	counted("5")
	if err := patch.Send([]byte("world")); err != nil {
		t.Fatal(err)
	}
	if answer, err := patch.Answer(); err != nil {
		t.Fatal(answer, err)
	}
	counted("10")

	rejected := create(t, http.DefaultClient, d.url, "5")
	tus(t, "PATCH", rejected, "hello", "Upload-Offset: 0", "Upload-Checksum: sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=").want(t, 460)
	counted("15")
	partial := tus(t, "POST", d.url, "abc", "Upload-Length: 3", "Upload-Concat: partial").want(t, 201).header.Get("Location")
	tus(t, "POST", d.url, "", "Upload-Concat: final;"+partial).want(t, 201)
	counted("18")
}
