package loopback

import (
	"os/exec"
	"syscall"
)

// endWithThisProcess lets the system kill the program when this process ends, however that
// happens.
func endWithThisProcess(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
