package bench

import (
	"runtime"
	"time"

	"github.com/tus/tusd/cmd/tusd-bench/load"
)

// meter returns the meter of a process. pid 0 means that it is unknown.
func meter(pid int) load.Meter {
	if pid == 0 || runtime.GOOS != "linux" {
		return noMeter{}
	}
	return &processMeter{pid: pid}
}

// noMeter is the meter of a server whose process is unknown.
type noMeter struct{}

func (noMeter) Begin() error              { return nil }
func (noMeter) End() (*load.Usage, error) { return nil, nil }

// processMeter measures a process of this machine.
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
