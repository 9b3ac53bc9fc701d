package cli

import (
	"flag"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filelocker"
)

// fileLockerKind locks uploads by the operating system, in a file of the upload
// directory.
var fileLockerKind = lockerKind{
	name:     "file",
	summary:  "those of all processes of this machine",
	scope:    tusd.ScopeMachine,
	settings: func() lockerSettings { return new(fileLockerSettings) },
}

type fileLockerSettings struct {
	holderPoll, acquirerPoll time.Duration
}

func (s *fileLockerSettings) declare(f *flag.FlagSet) {
	durationVar(f, &s.holderPoll, "filelock-holder-poll-interval", 40*time.Millisecond, "interval at which the holder of a lock checks whether\nanother process requests it (`duration`)")
	durationVar(f, &s.acquirerPoll, "filelock-acquirer-poll-interval", 40*time.Millisecond, "interval at which a process that waits for a lock tries\nagain (`duration`)")
}

func (s *fileLockerSettings) open(cfg config, _ *slog.Logger) (uploadLocker, error) {
	dir, err := cfg.files().directory()
	if err != nil {
		return nil, err
	}
	return fileLocker{&filelocker.FileLocker{
		Path: dir, HolderPollInterval: s.holderPoll, AcquirerPollInterval: s.acquirerPoll,
	}}, nil
}

type fileLocker struct{ *filelocker.FileLocker }

func (l fileLocker) probes() []*probe                   { return []*probe{lockerProbe(l.FileLocker)} }
func (l fileLocker) collectors() []prometheus.Collector { return nil }
func (l fileLocker) close() error                       { return l.Close() }
