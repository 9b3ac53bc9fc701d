//go:build unix

package lockertest

import "syscall"

// canStop reports whether this system can stop a process and let it go on.
const canStop = true

// stop stops the process, as an operator or a hypervisor does.
func (c *child) stop() { c.signal(syscall.SIGSTOP) }

// resume lets a stopped process go on.
func (c *child) resume() { c.signal(syscall.SIGCONT) }

func (c *child) signal(s syscall.Signal) {
	c.e.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.e.Fatalf("send %v to the process: %v", s, err)
	}
}
