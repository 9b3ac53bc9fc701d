package pluginhook

import (
	"os/exec"
	"syscall"
)

// dieWithParent lets the kernel end a plugin when the thread that has started it ends, so that
// it does not outlive a tusd that was killed. The end of the command's context kills the
// plugin together with the processes that it has started.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
