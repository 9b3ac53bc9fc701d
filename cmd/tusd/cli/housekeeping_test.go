package cli

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// -store-size limits all uploads together, and makes room as -store-policy says. The sum is
// right after a restart. A second server on the store is refused.
func TestStoreSize(t *testing.T) {
	dir := t.TempDir()
	args := []string{"-upload-dir", dir, "-store-size", "1000", "-store-policy", "unfinished"}
	d := start(t, args...)
	tus(t, http.MethodOptions, d.url, "").want(t, http.StatusOK, "Tus-Max-Size: 1000")
	done := tus(t, http.MethodPost, d.url, strings.Repeat("x", 600), "Upload-Length: 600").want(t, http.StatusCreated).header.Get("Location")
	half := create(t, http.DefaultClient, d.url, "300")
	for range 2 {
		_, metrics := fetch(t, strings.TrimSuffix(d.url, "files/")+"metrics")
		for _, want := range []string{"tusd_store_limit_bytes 1000", "tusd_store_bytes 600", "tusd_store_reserved_bytes 900", "tusd_store_sum_exact 1"} {
			if !strings.Contains(metrics, "\n"+want+"\n") {
				t.Errorf("the metrics lack %s", want)
			}
		}
		code, stdout, stderr := runCommand(t, append(args, "-host", "127.0.0.1", "-port", "0")...)
		if code != exitFailed || !strings.Contains(stderr, "another process has the store open") {
			t.Errorf("a second server ends with %d: %s%s", code, stdout, stderr)
		}
		d.end(t)
		d = start(t, args...)
	}
	at := func(location string) string { return d.url + filepath.Base(location) }
	tus(t, http.MethodPost, d.url, "", "Upload-Length: 401").want(t, http.StatusInsufficientStorage)
	tus(t, http.MethodPost, d.url, "", "Upload-Length: 400").want(t, http.StatusCreated)
	tus(t, http.MethodHead, at(done), "").want(t, http.StatusOK)
	tus(t, http.MethodHead, at(half), "").want(t, http.StatusNotFound)
	wantCommand(t, exitOK, "removed ", "rm", filepath.Base(done), "-upload-dir", dir, "-store-size", "1000")
}

// Owners have limits of their own.
func TestOwnerLimits(t *testing.T) {
	d := start(t, "-store-size", "1000", "-owner-metadata", "who", "-owner-quota", "500", "-owner-max-upload", "300")
	bob, eve := "Upload-Metadata: who Ym9i", "Upload-Metadata: who ZXZl"
	tus(t, http.MethodPost, d.url, "", "Upload-Length: 301", bob).want(t, http.StatusRequestEntityTooLarge)
	tus(t, http.MethodPost, d.url, "", "Upload-Length: 300", bob).want(t, http.StatusCreated)
	answer := tus(t, http.MethodPost, d.url, "", "Upload-Length: 201", bob).want(t, http.StatusInsufficientStorage)
	if !strings.HasPrefix(answer.body, "ERR_QUOTA_EXCEEDED") {
		t.Errorf("beyond the quota: %s", answer.body)
	}
	tus(t, http.MethodPost, d.url, "", "Upload-Length: 201", eve).want(t, http.StatusCreated)
}
