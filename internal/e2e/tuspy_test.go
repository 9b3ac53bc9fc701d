//go:build linux

package e2e

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/require"
)

// python is the interpreter for Debian's packages. Another one on the PATH does not find
// them.
const python = "/usr/bin/python3"

//go:embed testdata/py/upload.py
var tuspyScript string

// needTuspy ends the test if tuspy is not installed.
func needTuspy(t *testing.T) {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), python, "-c", "import tusclient").CombinedOutput()
	require.Need(t, "tuspy", err == nil, fmt.Sprintf("python3-tuspy is not installed: %v\n%s", err, output))
}

// tuspyJob is the argument of testdata/py/upload.py.
type tuspyJob struct {
	Endpoint string         `json:"endpoint"`
	Async    bool           `json:"async,omitempty"`
	Storage  string         `json:"storage,omitempty"`
	Options  map[string]any `json:"options"`
}

// newTuspyJob returns a job that uploads file through r.
func newTuspyJob(r *relay, file string, options map[string]any) tuspyJob {
	with := map[string]any{"file_path": file}
	maps.Copy(with, options)
	return tuspyJob{Endpoint: r.url() + "/files/", Options: with}
}

// run uploads and returns the upload's URL. The test fails if tuspy gives up.
func (j tuspyJob) run(t *testing.T) (url string) {
	t.Helper()
	url, err := j.try(t)
	if err != nil {
		t.Fatalf("tuspy gave up: %v", err)
	}
	return url
}

// try uploads and returns the upload's URL, or an error if tuspy gives up. The URL may be
// known even then.
func (j tuspyJob) try(t *testing.T) (url string, err error) {
	t.Helper()
	argument, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), clientLimit)
	defer cancel()
	client := exec.CommandContext(ctx, python, "-c", tuspyScript, string(argument))
	var stderr bytes.Buffer
	client.Stderr = &stderr
	output, err := client.Output()
	if err != nil {
		err = fmt.Errorf("%w %v\n%s", err, context.Cause(ctx), stderr.Bytes())
	}
	return strings.TrimSpace(string(output)), err
}

// withRetries returns options with which tuspy retries soon and often.
func withRetries(options map[string]any) map[string]any {
	with := map[string]any{"retries": 100, "retry_delay": 0.1}
	maps.Copy(with, options)
	return with
}

// tuspyModes are the options of uploads. A chunk with a checksum is stored as a whole or
// not at all, so such chunks are small.
var tuspyModes = map[string]struct {
	async   bool
	options map[string]any
}{
	"plain":    {},
	"chunked":  {options: map[string]any{"chunk_size": mib}},
	"checksum": {options: map[string]any{"chunk_size": mib, "upload_checksum": true}},
	"async":    {async: true},
}

func TestTuspyUploads(t *testing.T) {
	t.Parallel()
	needTuspy(t)
	for name, way := range tuspyModes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startService(t, t.TempDir())
			file, sum := writeContent(t, 3*mib+1)
			j := newTuspyJob(s.relay, file, way.options)
			j.Async = way.async
			wantContent(t, j.run(t), sum)
			wantPosts(t, s.relay, 1)
		})
	}
}

// TestTuspySendsMetadata checks the metadata in the headers of the download.
func TestTuspySendsMetadata(t *testing.T) {
	t.Parallel()
	needTuspy(t)
	s := startService(t, t.TempDir())
	file, _ := writeContent(t, 1000)
	url := newTuspyJob(s.relay, file, map[string]any{
		"metadata": map[string]any{"filename": "content ☺.png", "filetype": "image/png"},
	}).run(t)
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if got := response.Header.Get("Content-Type"); got != "image/png" {
		t.Errorf("Content-Type: %q, want image/png", got)
	}
	if got := response.Header.Get("Content-Disposition"); !strings.Contains(got, "%E2%98%BA.png") {
		t.Errorf("Content-Disposition: %q, which does not have the name content ☺.png", got)
	}
}

// TestTuspyResumes disturbs an upload in the middle. tuspy retries by itself.
func TestTuspyResumes(t *testing.T) {
	t.Parallel()
	needTuspy(t)
	for loss, disturb := range map[string]func(*testing.T, *service){
		"cut":  func(_ *testing.T, s *service) { s.cut() },
		"kill": func(t *testing.T, s *service) { s.kill(t) },
	} {
		for name, way := range tuspyModes {
			t.Run(loss+"/"+name, func(t *testing.T) {
				t.Parallel()
				s := startService(t, t.TempDir())
				s.after(lossAt, func() {
					s.awaitStored(t, mib)
					disturb(t, s)
				})
				file, sum := writeContent(t, lossSize)
				j := newTuspyJob(s.relay, file, withRetries(way.options))
				j.Async = way.async
				wantContent(t, j.run(t), sum)
				wantPosts(t, s.relay, 1)
				wantResumed(t, s)
			})
		}
	}
}

// TestTuspyIsStartedAgain cuts the connection so that tuspy ends. A new process continues
// the upload by its URL, or by the URL in tuspy's storage.
func TestTuspyIsStartedAgain(t *testing.T) {
	t.Parallel()
	needTuspy(t)
	for name, remembers := range map[string]bool{"with the URL": false, "with its storage": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startService(t, t.TempDir())
			s.after(lossAt, func() {
				s.awaitStored(t, mib)
				s.cut()
			})
			file, sum := writeContent(t, lossSize)
			j := newTuspyJob(s.relay, file, nil)
			if remembers {
				j.Storage = filepath.Join(t.TempDir(), "urls.json")
			}
			url, err := j.try(t)
			if err == nil {
				t.Fatal("tuspy reports no error after its connection was cut")
			}
			if !remembers {
				j.Options["url"] = url
			}
			if again := j.run(t); again != url {
				t.Errorf("continued %s, want %s", again, url)
			}
			wantContent(t, url, sum)
			wantPosts(t, s.relay, 1)
			wantResumed(t, s)
		})
	}
}
