//go:build linux

package s3services

import (
	"bytes"
	"context"
	"os/exec"
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
