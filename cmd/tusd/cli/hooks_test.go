package cli

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hookFile writes an executable for -hooks-dir.
func hookFile(t *testing.T, dir, event, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, event), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
}

// The metrics of hooks are served if there are hooks.
func TestHookMetricsOfTheDaemon(t *testing.T) {
	metrics := func(d *testDaemon) string {
		_, text := fetch(t, strings.TrimSuffix(d.url, "files/")+"metrics")
		return text
	}
	if text := metrics(start(t)); strings.Contains(text, "tusd_hook_") {
		t.Errorf("without hooks: %s", text)
	}
	dir := t.TempDir()
	hookFile(t, dir, "pre-create", "exit 1")
	d := start(t, "-hooks-dir", dir)
	tus(t, http.MethodPost, d.url, "", "Upload-Length: 5").want(t, http.StatusInternalServerError)
	text := metrics(d)
	for _, want := range []string{
		`tusd_hook_invocations_total{hooktype="pre-create"} 1`, `tusd_hook_errors_total{hooktype="pre-create"} 1`,
		`tusd_hook_invocations_total{hooktype="post-finish"} 0`, `tusd_hook_duration_seconds_count{hook="file",hooktype="pre-create"} 1`,
		"tusd_hook_events_waiting 0",
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
}
