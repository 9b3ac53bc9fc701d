package bench

import (
	"runtime"
	"time"

	"github.com/tus/tusd/cmd/tusd-bench/load"
)

// meter returns what looks at a process; 0: none is known.
func meter(pid int) load.Meter {
	if pid == 0 || runtime.GOOS != "linux" {
		return blind{}
	}
	return &processMeter{pid: pid}
}

// blind is the meter of a server whose process is not known.
type blind struct{}

func (blind) Begin() error              { return nil }
func (blind) End() (*load.Usage, error) { return nil, nil }

// processMeter looks at a process of this machine.
type processMeter struct {
	pid   int
	began time.Duration // CPU time at Begin
}

// Begin implements load.Meter.
func (m *processMeter) Begin() (err error) {
	if err := resetPeak(m.pid); err != nil {
		return err
	}
	m.began, err = cpuTime(m.pid)
	return err
}

// End implements load.Meter.
func (m *processMeter) End() (*load.Usage, error) {
	ended, err := cpuTime(m.pid)
	if err != nil {
		return nil, err
	}
	resident, peak, err := memory(m.pid)
	return &load.Usage{CPU: ended - m.began, Resident: resident, Peak: peak}, err
}
