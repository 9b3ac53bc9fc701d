//go:build linux

package s3services

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// process is a program that ends with the test.
type process struct {
	command *exec.Cmd
	exited  chan struct{} // closed when command has been waited for
	output  bytes.Buffer  // complete once exited is closed
}

// startProcess runs a program until the test ends. It logs the output if the test has
// failed.
func startProcess(t testing.TB, command *exec.Cmd) *process {
	t.Helper()
	p := &process{command: command, exited: make(chan struct{})}
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	command.Stdout, command.Stderr = &p.output, &p.output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		command.Wait()
	}()
	t.Cleanup(func() {
		command.Process.Kill() // fails only if it has ended already
		<-p.exited
		if t.Failed() {
			t.Logf("%s:\n%s", command.Path, p.output.Bytes())
		}
	})
	return p
}

// await calls ready until it returns no error.
func (p *process) await(t testing.TB, ready func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return
		}
		select {
		case <-p.exited:
			t.Fatalf("%s ended while starting: %v", p.command.Path, p.command.ProcessState)
		case <-ctx.Done():
			t.Fatalf("%s is not ready after %v: %v", p.command.Path, startLimit, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// firstPort begins a range below the ports that the system assigns by itself.
const firstPort = 20000

var portsGiven atomic.Int64

// freeAddress returns an address (host:port) that no other process listens on. These
// servers cannot choose a free port and print it. So each test process has its own
// address of the loopback network, derived from its process id.
func freeAddress() string {
	pid := os.Getpid() // at most 22 bits
	host := net.IPv4(127, byte(64|pid>>16), byte(pid>>8), byte(pid))
	return net.JoinHostPort(host.String(), strconv.FormatInt(firstPort+portsGiven.Add(1), 10))
}
