package e2e

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// startLimit bounds how long the daemon may take to say where it listens,
// and to end when told so.
const startLimit = 20 * time.Second

var startLine = regexp.MustCompile(`You can now upload files to: http://([^/]+)/`)

// tusdBinary is the built daemon, made by TestMain.
var tusdBinary string

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	folder, err := os.MkdirTemp("", "tusd-e2e-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)
	tusdBinary = filepath.Join(folder, "tusd")
	build := exec.Command("go", "build", "-o", tusdBinary, "github.com/tus/tusd/cmd/tusd")
	if output, err := build.CombinedOutput(); err != nil {
		os.Stderr.Write(output)
		return 1
	}
	return m.Run()
}

// daemon is a running tusd.
type daemon struct {
	command *exec.Cmd
	address string // host:port
	ended   chan struct{}
}

// startDaemon runs tusd on folder until the test ends.
func startDaemon(t *testing.T, folder string) *daemon {
	t.Helper()
	d, err := launch(t, "127.0.0.1:0", folder)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// launch runs tusd on folder until the test ends. address is host:port, with
// port 0 or that of an earlier life. Any goroutine may call it.
func launch(t *testing.T, address, folder string) (*daemon, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	d := &daemon{ended: make(chan struct{})}
	d.command = exec.Command(tusdBinary, "-host", host, "-port", port, "-upload-dir", folder, "-shutdown-timeout", "2s")
	d.command.Stderr = t.Output()
	stdout, err := d.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := d.command.Start(); err != nil {
		return nil, err
	}
	t.Cleanup(d.kill)
	listening := make(chan string, 1)
	go d.follow(io.TeeReader(stdout, t.Output()), listening)
	select {
	case d.address = <-listening:
		return d, nil
	case <-d.ended:
		return nil, errors.New("tusd ended without listening")
	case <-time.After(startLimit):
		return nil, errors.New("tusd does not say where it listens")
	}
}

// follow reads the log until the daemon ends.
func (d *daemon) follow(log io.Reader, listening chan<- string) {
	defer close(d.ended)
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		if match := startLine.FindStringSubmatch(lines.Text()); match != nil {
			listening <- match[1]
		}
	}
	io.Copy(io.Discard, log)
	d.command.Wait()
}

// kill ends the daemon as kill -9 does, and waits until it is gone.
func (d *daemon) kill() {
	d.command.Process.Kill()
	<-d.ended
}

// stop ends the daemon as an operator does.
func (d *daemon) stop() error {
	if err := d.command.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-d.ended:
		return nil
	case <-time.After(startLimit):
		return errors.New("tusd does not end on SIGTERM")
	}
}
