package bench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime returns the user and system time of a process, with all its threads, ended
// ones included. It reads the process's clock, which counts nanoseconds. /proc/PID/stat
// counts hundredths of a second.
func cpuTime(pid int) (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(processClock(pid), &t); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// processClock returns the id of a process's CPU clock, like clock_getcpuclockid(3): the
// complement of the process id, above three bits for the type of the clock.
func processClock(pid int) int32 { return int32(^pid)<<3 | 2 }

// memory returns the resident memory of a process and its peak, in bytes. The kernel
// counts some pages of each thread late.
func memory(pid int) (resident, peak int64, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	if resident, err = kibField(status, "VmRSS:"); err != nil {
		return 0, 0, err
	}
	peak, err = kibField(status, "VmHWM:")
	return resident, max(resident, peak), err
}

// kibField reads a line such as "VmRSS:    1234 kB", in bytes.
func kibField(status []byte, name string) (int64, error) {
	for line := range bytes.Lines(status) {
		value, ok := bytes.CutPrefix(line, []byte(name))
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(value), []byte("kB")))), 10, 64)
		return n << 10, err
	}
	return 0, fmt.Errorf("the status of the process has no %s", name)
}

// resetPeak sets the peak to the current resident memory.
func resetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// killWithParent makes the system kill a process when this process ends.
func killWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// pause stops a process, as a whole, until resume.
func pause(p *os.Process) error { return p.Signal(syscall.SIGSTOP) }

func resume(p *os.Process) { p.Signal(syscall.SIGCONT) }
