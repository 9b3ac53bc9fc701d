//go:build !linux

package bench

import (
	"errors"
	"os"
	"os/exec"
	"time"
)

var errNoProcesses = errors.New("CPU time and memory of a server are only known on Linux, and only there it can be paused")

func cpuTime(int) (time.Duration, error) { return 0, errNoProcesses }
func memory(int) (_, _ int64, err error) { return 0, 0, errNoProcesses }
func resetPeak(int) error                { return errNoProcesses }
func killWithParent(*exec.Cmd)           {}
func pause(*os.Process) error            { return errNoProcesses }
func resume(*os.Process)                 {}
