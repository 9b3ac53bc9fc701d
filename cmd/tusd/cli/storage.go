package cli

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tus/tusd"
	"github.com/tus/tusd/cmd/tusd/cli/doctor"
)

// uploadStorage keeps uploads.
type uploadStorage interface {
	useIn(*tusd.StoreComposer)
	where() string // for people
	// present returns an error if the storage does not exist. A server makes it.
	present() error
	// storedRecord returns the record of an upload as it is stored; nil: it has nothing
	// that is not in the FileInfo.
	storedRecord(ctx context.Context, id string) ([]byte, error)
	probes() []*probe
	// retryFor returns how long a start that failed with err is tried again.
	retryFor(err error) time.Duration
	// advised returns an error of the start with what an operator can do about it.
	advised(err error) error
	collectors() []prometheus.Collector
	close() error // a closed storage can be opened again
}

// storageSettings are the flags of one kind of storage.
type storageSettings interface {
	declare(*flag.FlagSet)
	// chosen reports whether the flags choose this kind.
	chosen() bool
	// validate is called for the storage that is used.
	validate(config) error
	// open makes the storage, without any call to a service or a file system.
	open(*slog.Logger) (uploadStorage, error)
	// examine is the part of tusd doctor.
	examine(context.Context, config, *doctor.Report)
}

// storageKind is a kind of storage that flags can choose.
type storageKind struct {
	title    string // of its flags in the help
	flag     string // chooses this kind; stands for it in messages
	settings func() storageSettings
	scopes   []tusd.Scope // of lockers that protect its uploads
	locker   string       // used if -locker is not set
	// refusesSecond means that the storage cannot be opened by a second process if its
	// locker is one of the process.
	refusesSecond bool
}

// storageKinds are the storages of this program. The first one is used if the
// flags choose no other. To add a storage, write its file and add a line here.
var storageKinds = []storageKind{
	fileStorageKind,
	s3StorageKind,
}

// declareStorages returns the flags of all storages, a section each.
func (cfg *config) declareStorages() (declared []section) {
	cfg.storages = nil
	for _, kind := range storageKinds {
		settings := kind.settings()
		cfg.storages = append(cfg.storages, settings)
		declared = append(declared, newSection(kind.title, settings.declare))
	}
	return declared
}

// chosenStorage returns the storage that is used, and its settings.
func (cfg config) chosenStorage() (storageKind, storageSettings) {
	for i, settings := range cfg.storages {
		if settings.chosen() {
			return storageKinds[i], settings
		}
	}
	return storageKinds[0], cfg.storages[0]
}

// settingsOf returns the element of type S. It panics if there is none.
func settingsOf[S, I any](all []I) S {
	for _, settings := range all {
		if found, ok := any(settings).(S); ok {
			return found
		}
	}
	panic(fmt.Sprintf("no settings of type %T", *new(S)))
}

// setFlag returns the first flag of declare that is set, but for except; "":
// none is.
func (cfg config) setFlag(declare func(*flag.FlagSet), except string) (name string) {
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	declare(flags)
	flags.VisitAll(func(f *flag.Flag) {
		if name == "" && f.Name != except && cfg.isSet(f.Name) {
			name = f.Name
		}
	})
	return name
}

// validateStorage finds settings of storages and lockers that are not used, and
// a locker that does not protect the uploads of the storage.
func (cfg config) validateStorage() error {
	chosen, settings := cfg.chosenStorage()
	for i, other := range storageKinds {
		if other.flag == chosen.flag {
			continue
		}
		set := cfg.setFlag(other.settings().declare, other.flag)
		switch {
		case cfg.storages[i].chosen(), i == 0 && cfg.isSet(other.flag):
			return cfg.exclude(chosen.flag, other.flag)
		case set != "" && i == 0:
			return cfg.exclude(chosen.flag, set)
		case set != "":
			return cfg.need(set, other.flag)
		}
	}
	if err := cfg.validateLocker(chosen); err != nil {
		return err
	}
	return settings.validate(cfg)
}

// validateLocker checks -locker against a storage, and the flags of the locker.
func (cfg config) validateLocker(storage storageKind) error {
	chosen, settings := cfg.chosenLocker()
	if !slices.Contains(storage.scopes, chosen.scope) {
		return fmt.Errorf("%s must be %s with -%s: the locks of %s do not protect uploads there",
			cfg.sources.name("locker"), enumeration(storage.lockers()), storage.flag, chosen.name)
	}
	for _, other := range lockerKinds {
		set := cfg.setFlag(other.settings().declare, "")
		switch {
		case set == "" || other.name == chosen.name:
		case slices.Contains(storage.scopes, other.scope):
			return cfg.need(set, "locker "+other.name)
		default:
			return cfg.exclude(storage.flag, set)
		}
	}
	if v, ok := settings.(lockerValidator); ok {
		return v.validate(cfg)
	}
	return nil
}

// lockers returns the values of -locker that can be used with k.
func (k storageKind) lockers() (names []string) {
	for _, l := range lockerKinds {
		if slices.Contains(k.scopes, l.scope) {
			names = append(names, l.name)
		}
	}
	return names
}
