package cli

import (
	"flag"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tus/tusd"
	"github.com/tus/tusd/memorylocker"
)

// memoryLockerKind locks uploads within this process.
var memoryLockerKind = lockerKind{
	name:     "memory",
	summary:  "those of this process alone",
	scope:    tusd.ScopeProcess,
	settings: func() lockerSettings { return memoryLockerSettings{} },
}

type memoryLockerSettings struct{}

func (memoryLockerSettings) declare(*flag.FlagSet) {}

func (memoryLockerSettings) open(config, *slog.Logger) (uploadLocker, error) {
	return memoryLocker{memorylocker.New()}, nil
}

type memoryLocker struct{ *memorylocker.MemoryLocker }

func (memoryLocker) probes() []*probe                   { return nil } // it cannot fail
func (memoryLocker) collectors() []prometheus.Collector { return nil }
func (memoryLocker) close() error                       { return nil }
