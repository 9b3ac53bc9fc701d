package cli

import (
	"flag"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tus/tusd"
)

// uploadLocker gives out the locks of uploads.
type uploadLocker interface {
	tusd.Locker
	probes() []*probe
	collectors() []prometheus.Collector
	close() error
}

// lockerSettings are the flags of one kind of locker.
type lockerSettings interface {
	declare(*flag.FlagSet)
	// open makes the locker, without any call to a service or a file system.
	open(config, *slog.Logger) (uploadLocker, error)
}

// lockerValidator is implemented by lockerSettings whose flags can contradict each other.
type lockerValidator interface {
	// validate is called for the locker that is used. It may read files.
	validate(config) error
}

// lockerKind is a kind of locker that -locker can choose.
type lockerKind struct {
	name     string // the value of -locker
	summary  string // the requests that its locks exclude; for the help
	scope    tusd.Scope
	settings func() lockerSettings
}

// lockerKinds are the lockers of this program. To add one, write its file and
// add a line here.
var lockerKinds = []lockerKind{
	fileLockerKind,
	memoryLockerKind,
	redisLockerKind,
	consulLockerKind,
	etcdLockerKind,
}

// declareLockers adds -locker and the flags of all lockers.
func (cfg *config) declareLockers(f *flag.FlagSet) {
	names := []string{""}
	var usage strings.Builder
	usage.WriteString("the `kind` of locks, which keep requests for the same upload\napart; the default is file for a directory, else memory")
	for _, kind := range lockerKinds {
		names = append(names, kind.name)
		usage.WriteString("\n" + kind.name + ": " + kind.summary)
	}
	choiceVar(f, &cfg.locker, "locker", names, usage.String())
	cfg.lockers = nil
	for _, kind := range lockerKinds {
		settings := kind.settings()
		cfg.lockers = append(cfg.lockers, settings)
		settings.declare(f)
	}
}

// chosenLocker returns the locker that is used, and its settings.
func (cfg config) chosenLocker() (lockerKind, lockerSettings) {
	name := cfg.locker
	if name == "" {
		storage, _ := cfg.chosenStorage()
		name = storage.locker
	}
	for i, kind := range lockerKinds {
		if kind.name == name {
			return kind, cfg.lockers[i]
		}
	}
	panic("no locker is called " + name) // choiceVar refuses it
}
