//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd/internal/require"
)

// browser is Chromium with the page of testdata/js. The page has another origin than the
// server.
type browser struct {
	t        *testing.T
	site     string // the URL of the page's folder
	commands *json.Encoder
	answers  *json.Decoder
}

// openPage starts a browser until the test ends, and opens the page, which uploads
// through r.
func openPage(t *testing.T, r *relay) *browser {
	t.Helper()
	program, err := exec.LookPath("chromium")
	require.Need(t, "chromium", err == nil, "chromium is not on the PATH")
	folder := clientFolder(t)
	site := httptest.NewServer(http.FileServer(http.Dir(folder)))
	t.Cleanup(site.Close)
	b := &browser{t: t, site: site.URL}
	b.start(exec.Command("node", filepath.Join(folder, "browser.cjs"), program))
	query := url.Values{"endpoint": {r.url() + "/files/"}}
	b.do("open", b.site+"/page.html?"+query.Encode())
	return b
}

// start runs the program that drives the browser.
func (b *browser) start(driver *exec.Cmd) {
	b.t.Helper()
	stdin, err := driver.StdinPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	stdout, err := driver.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	var stderr bytes.Buffer
	driver.Stderr = &stderr
	driver.WaitDelay = browserTimeout
	if err := driver.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { b.stop(driver, stdin, &stderr) })
	b.commands, b.answers = json.NewEncoder(stdin), json.NewDecoder(stdout)
}

// browserTimeout bounds the time until a browser ends.
const browserTimeout = 30 * time.Second

// stop ends the browser, and kills it after browserTimeout.
func (b *browser) stop(driver *exec.Cmd, stdin io.Closer, stderr *bytes.Buffer) {
	force := time.AfterFunc(browserTimeout, func() { driver.Process.Kill() })
	defer force.Stop()
	stdin.Close()
	if err := driver.Wait(); err != nil {
		b.t.Errorf("the browser ended with %v\n%s", err, stderr.Bytes())
	}
}

// do runs one command of browser.cjs and returns its result.
func (b *browser) do(command string, parameters ...any) (value any) {
	b.t.Helper()
	if err := b.commands.Encode(append([]any{command}, parameters...)); err != nil {
		b.t.Fatalf("browser, %s: %v", command, err)
	}
	var answer struct {
		Value any
		Error string
	}
	if err := b.answers.Decode(&answer); err != nil {
		b.t.Fatalf("browser, %s: %v", command, err)
	}
	if answer.Error != "" {
		b.t.Fatalf("browser, %s: %s", command, answer.Error)
	}
	return answer.Value
}

// upload adds file on the page and starts the upload.
func (b *browser) upload(file string) {
	b.t.Helper()
	b.do("add", file)
	b.do("upload")
}

// wantUploaded waits until Uppy's Dashboard shows the upload as complete, and checks the
// Dashboard and the content.
func (b *browser) wantUploaded(sum string) {
	b.t.Helper()
	b.do("awaitComplete")
	if status := b.do("status").(string); !strings.Contains(status, "Complete") {
		b.t.Errorf("the Dashboard says %q, want Complete", status)
	}
	if items := b.do("items").(float64); items != 1 {
		b.t.Errorf("%v files are shown as uploaded, want one", items)
	}
	b.keepScreenshot("complete")
	wantContent(b.t, b.do("uploadURL").(string), sum)
}

// keepScreenshot makes a screenshot, which is kept after the test if -artifacts is set.
func (b *browser) keepScreenshot(name string) {
	b.t.Helper()
	file := filepath.Join(b.t.ArtifactDir(), b.t.Name()+"-"+name+".png")
	b.do("screenshot", file)
	b.t.Logf("screenshot: %s", file)
}

// consoleErrors returns the errors on the browser's console that contain word.
func (b *browser) consoleErrors(word string) (found []string) {
	b.t.Helper()
	for _, line := range b.do("complaints").([]any) {
		if text := line.(string); strings.Contains(text, word) {
			found = append(found, text)
		}
	}
	return found
}
