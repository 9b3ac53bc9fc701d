//go:build unix

package readmetest

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// startLimit bounds the time until a program is compiled and listens.
const startLimit = 2 * time.Minute

// checkout returns the root of the repository.
func checkout(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// blocks returns the code blocks of README.md in one language. There must be want of
// them.
func blocks(t *testing.T, language string, want int) []string {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(checkout(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, match := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllSubmatch(readme, -1) {
		found = append(found, string(match[1]))
	}
	if len(found) != want {
		t.Fatalf("README.md has %d blocks of %s, want %d", len(found), language, want)
	}
	return found
}

// freeAddress returns an address without a listener.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// server is a program that listens, with all the processes it starts.
type server struct {
	command *exec.Cmd
	output  bytes.Buffer // complete once ended is closed
	ended   chan struct{}
	err     error // how it ended; valid once ended is closed
}

// start runs command until the test ends.
func start(t *testing.T, command *exec.Cmd) *server {
	t.Helper()
	s := &server{command: command, ended: make(chan struct{})}
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Stdout, command.Stderr = &s.output, &s.output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.err = command.Wait()
		close(s.ended)
	}()
	t.Cleanup(func() {
		syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
		<-s.ended
		if t.Failed() {
			t.Logf("%s:\n%s", command, s.output.Bytes())
		}
	})
	return s
}

// listening waits until the server answers at address.
func (s *server) listening(t *testing.T, address string) {
	t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	deadline := time.After(startLimit)
	for {
		response, err := http.Get("http://" + address + "/files/")
		if err == nil {
			response.Body.Close()
			return
		}
		select {
		case <-s.ended:
			t.Fatalf("%s ended without listening: %v", s.command, s.err)
		case <-deadline:
			t.Fatalf("no server listens on %s: %v", address, err)
		case <-poll.C:
		}
	}
}

// mustFail waits until the server has ended by itself, and returns its output.
func (s *server) mustFail(t *testing.T) string {
	t.Helper()
	select {
	case <-s.ended:
	case <-time.After(startLimit):
		t.Fatalf("%s runs, want it to fail", s.command)
	}
	if s.err == nil {
		t.Fatalf("%s ended well, want it to fail", s.command)
	}
	return s.output.String()
}
