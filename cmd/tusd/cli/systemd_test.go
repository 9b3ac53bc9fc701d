//go:build unix

package cli

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fakeSystemd has the notify socket, and the listening socket that the service inherits.
type fakeSystemd struct {
	notify    *net.UnixConn
	path      string
	listen    *net.TCPListener
	inherited *os.File
}

func newFakeSystemd(t *testing.T) fakeSystemd {
	t.Helper()
	s := fakeSystemd{path: filepath.Join(t.TempDir(), "notify")}
	var err error
	if s.notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: s.path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.notify.Close() })
	if s.listen, err = net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.listen.Close() })
	if s.inherited, err = s.listen.File(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.inherited.Close() })
	return s
}

func (s fakeSystemd) start(t *testing.T, args ...string) *process {
	t.Helper()
	variables := []string{"LISTEN_FDS=1", "NOTIFY_SOCKET=" + s.path, "WATCHDOG_USEC=100000"}
	return launch(t, variables, []*os.File{s.inherited}, append([]string{"-upload-dir", t.TempDir()}, args...)...)
}

// awaitState waits until the service notifies state.
func (s fakeSystemd) awaitState(t *testing.T, state string) {
	t.Helper()
	s.notify.SetReadDeadline(time.Now().Add(testTimeout))
	message := make([]byte, 1024)
	for {
		n, err := s.notify.Read(message)
		if err != nil {
			t.Fatalf("waiting for %s: %v", state, err)
		}
		if string(message[:n]) == state {
			return
		}
	}
}

func TestSystemd(t *testing.T) {
	systemd := newFakeSystemd(t)
	p := systemd.start(t)
	systemd.awaitState(t, "READY=1")
	url := "http://" + systemd.listen.Addr().String() + "/files/"
	create(t, http.DefaultClient, url, "1")
	if !strings.Contains(p.stdout.String(), "You can now upload files to: "+url+"\n") {
		t.Errorf("start-up lines: %s", p.stdout.String())
	}
	systemd.awaitState(t, "WATCHDOG=1")
	systemd.awaitState(t, "WATCHDOG=1")
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	systemd.awaitState(t, "STOPPING=1")
	p.mustEnd(t, exitOK)
}

func TestSystemdAgainstFlags(t *testing.T) {
	p := newFakeSystemd(t).start(t, "-port", "0")
	p.mustEnd(t, exitFailed)
	if !strings.Contains(p.stderr.String(), "systemd has opened the socket to listen on, and -port names another one") {
		t.Errorf("stderr: %s", p.stderr.String())
	}
}

// mustEnd waits for the end of the process.
func (p *process) mustEnd(t *testing.T, code int) {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(testTimeout):
		t.Fatalf("the daemon does not end: %s", p.stdout.String())
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("exit code %d, want %d: %s", got, code, p.stderr.String())
	}
}
