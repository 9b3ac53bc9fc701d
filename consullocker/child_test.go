//go:build linux

package consullocker

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"testing"
	"time"

	"github.com/tus/tusd"
)

// childProcess is another process on the same Consul: see lockertest.Serve.
type childProcess struct {
	tb      testing.TB
	command *exec.Cmd
	in      io.Writer
	answers *bufio.Reader
}

// start starts a process that is killed at the end of the test.
func start(tb testing.TB, address, prefix string) *childProcess {
	tb.Helper()
	return startWith(tb, address, prefix, testTTL)
}

func startWith(tb testing.TB, address, prefix string, ttl time.Duration) *childProcess {
	tb.Helper()
	c := &childProcess{tb: tb, command: child(address, prefix, ttl)}
	in, err := c.command.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := c.command.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := c.command.Start(); err != nil {
		tb.Fatal(err)
	}
	c.in, c.answers = in, bufio.NewReader(out)
	tb.Cleanup(c.kill)
	return c
}

// lock makes the process lock id.
func (c *childProcess) lock(id string) {
	c.tb.Helper()
	fmt.Fprintln(c.in, "lock", int(tusd.LockPreempt), id)
	if answer, err := c.answers.ReadString('\n'); err != nil || answer != "granted\n" {
		c.tb.Fatalf("the process answers %q, %v", answer, err)
	}
}

func (c *childProcess) kill() {
	c.command.Process.Kill() // fails if it has ended
	c.command.Wait()         // fails because it was killed
}
