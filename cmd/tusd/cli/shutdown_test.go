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
	"strings"
	"syscall"
	"testing"
	"time"
)

// A shutdown under load answers the running uploads and exits with 0. The offsets that
// the next server answers are the bytes in the files.
func TestShutdownUnderLoad(t *testing.T) {
	t.Parallel()
	const uploads, size, started = 8, 1 << 30, 1 << 20
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

// steady is endless content of a few MB/s, so that a test that waits does not fill the
// disk.
type steady struct{}

func (steady) Read(p []byte) (int, error) {
	time.Sleep(5 * time.Millisecond)
	p = p[:min(len(p), 16<<10)]
	clear(p)
	return len(p), nil
}

// mustHaveKept starts another daemon on the directory and compares its offsets with the
// sizes of the files.
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

// A second signal ends the daemon without waiting for running requests.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	overEveryProtocol(t, func(t *testing.T, client *http.Client, args []string) {
		const size = 64 << 20
		p := launchUploads(t, t.TempDir(), append(args, "-shutdown-timeout", "1h"))
		location := create(t, client, p.url(t), strconv.Itoa(size))
		if status := patch(client, location, size, zeros(size)); status != http.StatusNoContent {
			t.Fatalf("PATCH: %d", status)
		}
		download := startSlowDownload(t, client, location)
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

// startSlowDownload begins a download and reads it slowly, so that a shutdown waits for it.
func startSlowDownload(t *testing.T, client *http.Client, url string) io.Closer {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	go io.CopyBuffer(struct{ io.Writer }{io.Discard}, slowly{resp.Body}, make([]byte, 64<<10))
	return resp.Body
}

// overEveryProtocol runs a test like overHTTP2, and over HTTP/1.1.
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

// url waits until the daemon has started, and returns the URL of uploads.
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

// A listener that fails shuts the server down like a signal: running uploads are answered.
func TestListenerFails(t *testing.T) {
	t.Parallel()
	cfg, err := readConfig([]string{"-host", "127.0.0.1", "-port", "0", "-admin-listen", "127.0.0.1:0", "-upload-dir", t.TempDir()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, queue := startLog(io.Discard, "text", false)
	defer queue.close(logCloseTimeout)
	d := &daemon{cfg: cfg, logger: quiet, queue: queue, stopping: make(chan struct{})}
	if err := d.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer d.close()
	ended := make(chan error, 1)
	go func() { ended <- d.run(t.Context()) }()
	location := create(t, http.DefaultClient, "http://"+d.sockets[0].host+"/files/", strconv.Itoa(1<<30))
	answer := make(chan int, 1)
	go func() { answer <- patch(http.DefaultClient, location, 1<<30, steady{}) }()
	awaitSize(t, filepath.Join(cfg.files().uploadDir, path.Base(location)), 1)
	d.admin.Close()
	if status := <-answer; status != http.StatusServiceUnavailable {
		t.Errorf("PATCH: %d, want 503", status)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "cannot accept connections") {
		t.Errorf("the server ended with %v", err)
	}
}
