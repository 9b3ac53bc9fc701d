package loopback

import (
	"context"
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/tus/tusd/internal/logtest"
)

// Program is a running program.
type Program struct {
	command *exec.Cmd
	exited  chan struct{} // closed when command has been waited for
	output  logtest.Buffer
}

// Run runs a program until the test ends, or on Linux the process of the test. It logs the
// output if the test has failed.
func Run(tb testing.TB, command *exec.Cmd) *Program {
	tb.Helper()
	p := &Program{command: command, exited: make(chan struct{})}
	endWithThisProcess(command)
	command.Stdout, command.Stderr = &p.output, &p.output
	if err := command.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		command.Wait()
	}()
	tb.Cleanup(func() {
		p.Kill()
		if tb.Failed() {
			tb.Logf("%s:\n%s", command.Path, p.output.String())
		}
	})
	return p
}

// Kill kills the program as kill -9 does, and returns when it has ended.
func (p *Program) Kill() {
	p.command.Process.Kill() // fails only if it has ended already
	<-p.exited
}

// readyLimit bounds the time until a program is ready. It is long, for loaded machines.
const readyLimit = 60 * time.Second

// Await calls ready until it returns no error. It ends the test if the program ends before,
// or is not ready in time.
func (p *Program) Await(tb testing.TB, ready func(context.Context) error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), readyLimit)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return
		}
		select {
		case <-p.exited:
			tb.Fatalf("%s ended while starting: %v", p.command.Path, p.command.ProcessState)
		case <-ctx.Done():
			tb.Fatalf("%s is not ready after %v: %v", p.command.Path, readyLimit, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// AwaitListening returns when the program takes connections at address (host:port).
func (p *Program) AwaitListening(tb testing.TB, address string) {
	tb.Helper()
	p.Await(tb, func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}
