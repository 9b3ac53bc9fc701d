//go:build !linux

package bench

import (
	"errors"
	"os/exec"
	"time"
)

var errNoProcesses = errors.New("CPU time and memory of a server are only known on Linux")

func cpuTime(int) (time.Duration, error) { return 0, errNoProcesses }
func memory(int) (_, _ int64, err error) { return 0, 0, errNoProcesses }
func resetPeak(int) error                { return errNoProcesses }
func killWithParent(*exec.Cmd)           {}
