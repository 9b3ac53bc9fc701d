package tusd_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
)

// BenchmarkChecksumCost measures the cost of a checksum and of a digest for a PATCH of
// 512 MiB over a socket, in interleaved rounds:
//
//	go test -run '^$' -bench ChecksumCost -benchtime 7x .
//
// sha256/sum is the time with Upload-Checksum: sha256, divided by the time of hashing
// alone plus a plain PATCH. digest/sha256 is the time with -digest sha256 in addition,
// divided by the time with Upload-Checksum alone.
func BenchmarkChecksumCost(b *testing.B) {
	content := make([]byte, 512<<20)
	for i := range content {
		content[i] = byte(i * 7 >> 3)
	}
	sum := sha256.Sum256(content)
	checksum := "sha256 " + base64.StdEncoding.EncodeToString(sum[:])
	plain, digesting := checksumServer(b, ""), checksumServer(b, "sha256")
	var hashes, plains, checked, digested []time.Duration
	for b.Loop() {
		hashes = append(hashes, timed(func() { sha256.Sum256(content) }))
		plains = append(plains, uploadTime(b, plain, content, ""))
		checked = append(checked, uploadTime(b, plain, content, checksum))
		digested = append(digested, uploadTime(b, digesting, content, checksum))
	}
	b.ReportMetric(median(checked)/(median(hashes)+median(plains)), "sha256/sum")
	b.ReportMetric(median(digested)/median(checked), "digest/sha256")
	b.ReportMetric(512/median(plains), "MiB/s-plain")
	b.ReportMetric(512/median(checked), "MiB/s-sha256")
}

// checksumServer starts a server and returns the URL for creations.
func checksumServer(b *testing.B, digest string) string {
	composer := tusd.NewStoreComposer()
	store := filestore.FileStore{Path: b.TempDir(), Durability: filestore.None}
	store.UseIn(composer)
	handler, err := tusd.NewHandler(tusd.Config{BasePath: "/files/", StoreComposer: composer, Digest: digest, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(handler)
	b.Cleanup(func() {
		server.Close()
		handler.Shutdown(b.Context())
		store.Close()
	})
	return server.URL + "/files/"
}

// uploadTime creates an upload, sends content in one PATCH, and terminates the upload. It
// returns the time of the PATCH.
func uploadTime(b *testing.B, endpoint string, content []byte, checksum string) time.Duration {
	location := mustSend(b, 201, "POST", endpoint, nil, "Upload-Length", strconv.Itoa(len(content))).Get("Location")
	header := []string{"Upload-Offset", "0", "Content-Type", "application/offset+octet-stream"}
	if checksum != "" {
		header = append(header, "Upload-Checksum", checksum)
	}
	took := timed(func() { mustSend(b, 204, "PATCH", location, content, header...) })
	mustSend(b, 204, "DELETE", location, nil)
	return took
}

func mustSend(b *testing.B, want int, method, url string, content []byte, header ...string) http.Header {
	r, err := http.NewRequestWithContext(b.Context(), method, url, bytes.NewReader(content))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Tus-Resumable", "1.0.0")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != want {
		b.Fatalf("%s %s: %s", method, url, res.Status)
	}
	return res.Header
}

func timed(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

// median returns the median in seconds.
func median(times []time.Duration) float64 {
	return slices.Sorted(slices.Values(times))[len(times)/2].Seconds()
}
