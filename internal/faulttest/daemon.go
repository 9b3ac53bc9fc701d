//go:build linux

package faulttest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tus/tusd/internal/tusclient"
)

// waitTimeout bounds every wait for the daemon. It is far longer than the daemon needs.
const waitTimeout = 30 * time.Second

var startupLine = regexp.MustCompile(`You can now upload files to: https?://([^/]+)/files/|Uploads are received on the Unix socket (.+)`)

// Launch is how to start a daemon.
type Launch struct {
	Binary string
	Dir    string   // of the uploads; "": Flags name another storage
	Flags  []string // further flags
	Env    []string // further variables of the environment
	Socket string   // the Unix socket to listen on; "": a free TCP port
	// Tracer, if not empty, is the beginning of the command line: a program that becomes
	// the daemon (strace -D ...).
	Tracer []string
	// OwnPIDs starts the daemon in a new process id namespace, in which it has id 1, as in
	// a container. Needs root.
	OwnPIDs bool
}

// Daemon is a running tusd, on a free port of 127.0.0.1 or a Unix socket.
type Daemon struct {
	Address string // host:port, or the path of the socket

	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended
	mu     sync.Mutex
	output bytes.Buffer // of both streams
	unread sync.Mutex   // locked while the output is not read
}

// Start starts a daemon and returns when it serves. It is killed when the test ends.
func Start(t testing.TB, launch Launch) *Daemon {
	t.Helper()
	d, err := TryStart(t, launch)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TryStart is Start for a daemon that may fail to start.
func TryStart(t testing.TB, launch Launch) (*Daemon, error) {
	line := append(launch.Tracer, launch.Binary)
	line = append(line, launch.storing()...)
	line = append(line, launch.listening()...)
	line = append(line, launch.Flags...)
	d := &Daemon{cmd: exec.Command(line[0], line[1:]...), exited: make(chan struct{})}
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if launch.OwnPIDs {
		d.cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID
	}
	d.cmd.WaitDelay = waitTimeout
	d.cmd.Env = append(d.cmd.Environ(), launch.Env...)
	read, write := io.Pipe()
	d.cmd.Stdout, d.cmd.Stderr = write, write
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start tusd: %w", err)
	}
	t.Cleanup(d.Kill)
	go func() {
		defer close(d.exited)
		d.cmd.Wait() // the result is in ProcessState
		write.Close()
	}()
	address := make(chan string, 1)
	go d.follow(read, address)
	return d, d.awaitAddress(address)
}

// storing returns the flags of the storage.
func (l Launch) storing() []string {
	if l.Dir == "" {
		return nil
	}
	return []string{"-upload-dir", l.Dir}
}

// listening returns the flags of the address.
func (l Launch) listening() []string {
	if l.Socket != "" {
		return []string{"-unix-sock", l.Socket}
	}
	return []string{"-host", "127.0.0.1", "-port", "0"}
}

// follow collects the output of the daemon until it ends, and finds its address.
func (d *Daemon) follow(output io.Reader, address chan<- string) {
	defer close(address)
	lines := bufio.NewReader(output)
	for {
		d.awaitReader()
		line, err := lines.ReadBytes('\n')
		d.mu.Lock()
		d.output.Write(line)
		d.mu.Unlock()
		if m := startupLine.FindSubmatch(line); m != nil {
			address <- string(m[1]) + string(m[2])
		}
		if err != nil {
			return
		}
	}
}

// awaitReader waits while StopReading is in effect.
func (d *Daemon) awaitReader() {
	d.unread.Lock()
	defer d.unread.Unlock()
}

func (d *Daemon) awaitAddress(address <-chan string) error {
	timeout := time.NewTimer(waitTimeout)
	defer timeout.Stop()
	select {
	case a, ok := <-address:
		if !ok {
			return fmt.Errorf("tusd ended while starting (%v):\n%s", d.cmd.ProcessState, d.Output())
		}
		d.Address = a
		return nil
	case <-timeout.C:
		return fmt.Errorf("tusd does not serve:\n%s", d.Output())
	}
}

// Output returns the output of the daemon so far.
func (d *Daemon) Output() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.output.String()
}

// StopReading stops reading the output of the daemon until resume is called. The pipe
// still takes as much as fits into it.
func (d *Daemon) StopReading() (resume func()) {
	d.unread.Lock()
	return d.unread.Unlock
}

// Kill kills the daemon as kill -9 does, and waits until it has ended.
func (d *Daemon) Kill() {
	d.cmd.Process.Kill() // fails only if it has ended
	<-d.exited
}

// Stop stops the daemon with SIGTERM, and expects exit code 0.
func (d *Daemon) Stop() error {
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	timeout := time.NewTimer(waitTimeout)
	defer timeout.Stop()
	select {
	case <-d.exited:
	case <-timeout.C:
		return errors.New("tusd does not end on SIGTERM")
	}
	if !d.cmd.ProcessState.Success() {
		return fmt.Errorf("tusd ended with %v", d.cmd.ProcessState)
	}
	return nil
}

// Client returns a client of the daemon.
func (d *Daemon) Client() *tusclient.Client { return tusclient.New(d.Address) }

// PID is the process id in the namespace of the test.
func (d *Daemon) PID() int { return d.cmd.Process.Pid }

// server is a client of a daemon, and the directory of its uploads.
type server struct {
	*tusclient.Client
	dir string
}
