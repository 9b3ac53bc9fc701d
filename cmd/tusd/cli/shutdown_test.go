//go:build unix

package cli

import (
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Shutting down under load: uploads in progress get their answer, what the
// server says it has is what it has, and it ends well.
func TestTermUnderLoad(t *testing.T) {
	const uploads, size, started = 8, 1 << 30, 4 << 20
	overEveryProtocol(t, func(t *testing.T, client *http.Client, args []string) {
		dir := t.TempDir()
		p := launchUploads(t, dir, args)
		answers := make(chan int, uploads)
		locations := make([]string, uploads)
		for i := range locations {
			locations[i] = create(t, client, p.url(t), strconv.Itoa(size))
			go func() { answers <- patch(client, locations[i], size, steady{}) }()
		}
		for _, location := range locations {
			awaitSize(t, filepath.Join(dir, path.Base(location)), started)
		}
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		for range uploads {
			if status := <-answers; status != http.StatusServiceUnavailable {
				t.Errorf("PATCH: %d, want 503", status)
			}
		}
		p.mustEnd(t, exitOK)
		mustHaveKept(t, dir, locations, started)
	})
}

// steady is content without an end that comes at a moderate pace.
type steady struct{}

func (steady) Read(p []byte) (int, error) {
	time.Sleep(time.Millisecond)
	p = p[:min(len(p), 64<<10)]
	clear(p)
	return len(p), nil
}

// mustHaveKept starts another daemon on the directory and compares the offsets
// that it tells with what is there.
func mustHaveKept(t *testing.T, dir string, locations []string, least int64) {
	t.Helper()
	p := launchUploads(t, dir, nil)
	for _, location := range locations {
		id := path.Base(location)
		resp := do(t, http.DefaultClient, http.MethodHead, p.url(t)+id)
		offset, err := strconv.ParseInt(resp.Header.Get("Upload-Offset"), 10, 64)
		info, statErr := os.Stat(filepath.Join(dir, id))
		if err != nil || statErr != nil || offset < least || offset != info.Size() {
			t.Errorf("HEAD: %s, offset %d, %v, %v", resp.Status, offset, err, statErr)
		}
	}
}

// A second signal does not wait for those who do not come to an end.
func TestSecondTermUnderLoad(t *testing.T) {
	overEveryProtocol(t, func(t *testing.T, client *http.Client, args []string) {
		const size = 64 << 20
		p := launchUploads(t, t.TempDir(), append(args, "-shutdown-timeout", "1h"))
		location := create(t, client, p.url(t), strconv.Itoa(size))
		if status := patch(client, location, size, zeros(size)); status != http.StatusNoContent {
			t.Fatalf("PATCH: %d", status)
		}
		download := dawdle(t, client, location)
		defer download.Close()
		for _, again := range []bool{false, true} {
			if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if !again {
				await(t, "the first signal", func() bool { return shuttingDown.MatchString(p.stdout.String()) })
			}
		}
		p.mustEnd(t, exitFailed)
	})
}

var shuttingDown = regexp.MustCompile(`msg="shutting down"`)

// dawdle begins a download and does not go on, which keeps a shutdown waiting.
func dawdle(t *testing.T, client *http.Client, url string) io.Closer {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return resp.Body
}

// overEveryProtocol is overHTTP2 and HTTP/1.1.
func overEveryProtocol(t *testing.T, test func(t *testing.T, client *http.Client, args []string)) {
	t.Run("HTTP1", func(t *testing.T) {
		transport := &http.Transport{}
		t.Cleanup(transport.CloseIdleConnections)
		test(t, &http.Client{Transport: transport}, nil)
	})
	overHTTP2(t, test)
}

func launchUploads(t *testing.T, dir string, args []string) *process {
	t.Helper()
	return launch(t, nil, nil, append([]string{"-upload-dir", dir, "-host", "127.0.0.1", "-port", "0", "-durability", "none"}, args...)...)
}

// url waits for the daemon to start and returns where uploads go to.
func (p *process) url(t *testing.T) string {
	t.Helper()
	var found []string
	await(t, "the daemon to start", func() bool {
		found = startLine.FindStringSubmatch(p.stdout.String())
		return found != nil
	})
	return found[1]
}

func awaitSize(t *testing.T, file string, least int64) {
	t.Helper()
	await(t, "content to be stored", func() bool {
		info, err := os.Stat(file)
		return err == nil && info.Size() >= least
	})
}
