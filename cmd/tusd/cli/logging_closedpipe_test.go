//go:build unix

package cli

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The daemon continues when the reader of its log closes the pipe.
func TestDaemonWithClosedLogPipe(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-host", "127.0.0.1", "-port", "0", "-upload-dir", t.TempDir())
	cmd.Env = append(os.Environ(), asTusd+"=1")
	cmd.Stdout = write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		cmd.Wait() // it is killed below
	}()
	defer func() {
		cmd.Process.Kill()
		<-exited
	}()
	var url string
	for lines := bufio.NewScanner(read); url == "" && lines.Scan(); {
		if found := startLine.FindStringSubmatch(lines.Text()); found != nil {
			url = found[1]
		}
	}
	read.Close()
	lost := func() bool {
		tus(t, http.MethodPost, url, "", "Upload-Length: 1").want(t, http.StatusCreated)
		_, metrics := fetch(t, strings.TrimSuffix(url, "files/")+"metrics")
		return !strings.Contains(metrics, "\ntusd_log_lines_dropped_total 0\n")
	}
	await(t, "lost lines to be counted", lost)
	tus(t, http.MethodOptions, url, "").want(t, http.StatusOK)
}
