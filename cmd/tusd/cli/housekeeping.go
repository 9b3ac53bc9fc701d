package cli

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/limitedstore"
)

// housekeepingSettings are the flags about uploads that expire and are swept. By default
// nothing is ever removed.
type housekeepingSettings struct {
	expireAfter time.Duration // 0: never

	sweepInterval time.Duration // 0: the server does not sweep
	neverStarted  time.Duration // ages from which on a sweep removes; 0: never
	unfinished    time.Duration
	partial       time.Duration
	complete      time.Duration
	failed        time.Duration
	dryRun        bool
	rate          int // per second

	storeSize      int64  // bytes; 0: no limit, as for the next two
	storePolicy    string // one of limitedstore.Policies
	ownerQuota     int64
	ownerMaxUpload int64
	ownerMetadata  string // key of metadata; "": uploads have no owner
}

func (h *housekeepingSettings) declare(f *flag.FlagSet) {
	durationOrZeroVar(f, &h.expireAfter, "expire-after", 0, "how long an incomplete upload can be continued after its\nlast change (`duration`); 0: without end. Clients are told.\nOnly a sweep removes it")
	durationOrZeroVar(f, &h.sweepInterval, "sweep-interval", 0, "how often the server removes what has expired, what is as\nold as the flags -sweep-... say, and what is left in the\nstore of removed uploads (`duration`); 0: never")
	durationOrZeroVar(f, &h.neverStarted, "sweep-never-started", 0, "how long after its creation an upload is removed that has\ngot no byte (`duration`); 0: never")
	durationOrZeroVar(f, &h.unfinished, "sweep-unfinished", 0, "how long after its last change an incomplete upload is\nremoved (`duration`); 0: never")
	durationOrZeroVar(f, &h.partial, "sweep-partial", 0, "how long after its last change a partial upload is\nremoved, complete or not, if no unfinished final upload\nneeds it (`duration`); 0: never")
	durationOrZeroVar(f, &h.complete, "sweep-complete", 0, "how long after its last change a complete upload is\nremoved, with its data (`duration`); 0: never")
	durationOrZeroVar(f, &h.failed, "sweep-failed", 0, "how long after its last change an upload is removed that\ncan never become complete (`duration`); 0: never")
	f.BoolVar(&h.dryRun, "sweep-dry-run", false, "a sweep removes nothing and logs what it would remove")
	countVar(f, &h.rate, "sweep-rate", 1000, 1, "how many uploads a sweep looks at per second (a `number`)")
	h.declareLimits(f)
}

// declareLimits adds the flags about space.
func (h *housekeepingSettings) declareLimits(f *flag.FlagSet) {
	policies := make([]string, len(limitedstore.Policies()))
	for i, policy := range limitedstore.Policies() {
		policies[i] = string(policy)
	}
	sizeVar(f, &h.storeSize, "store-size", "limit of all uploads together, with what incomplete ones\nwill have, in `bytes`; 0: no limit. Only one server may\nuse the store then")
	choiceVar(f, &h.storePolicy, "store-policy", policies, "which uploads go to make room for one that does not fit:\nthe `policy` is refuse (none), unfinished (incomplete\nones), or, complete uploads too, oldest-even-complete or\nbiggest-even-complete")
	sizeVar(f, &h.ownerQuota, "owner-quota", "limit of the uploads of one owner together, in `bytes`;\n0: no limit")
	sizeVar(f, &h.ownerMaxUpload, "owner-max-upload", "largest upload of an owner in `bytes`; 0: no limit")
	f.StringVar(&h.ownerMetadata, "owner-metadata", "", "`key` of the client's metadata that names the owner of an\nupload. Clients can forge it, and leave it out")
}

// sweepAge is the flag for the age of a class of uploads.
type sweepAge struct {
	flag  string
	class tusd.UploadClass
	age   time.Duration
}

func (h *housekeepingSettings) ages() []sweepAge {
	return []sweepAge{
		{"sweep-never-started", tusd.ClassNeverStarted, h.neverStarted},
		{"sweep-unfinished", tusd.ClassUnfinished, h.unfinished},
		{"sweep-partial", tusd.ClassPartial, h.partial},
		{"sweep-complete", tusd.ClassComplete, h.complete},
		{"sweep-failed", tusd.ClassFailed, h.failed},
	}
}

// sweepPolicy returns the policy of the flags.
func (cfg config) sweepPolicy() tusd.SweepPolicy {
	policy := tusd.SweepPolicy{
		Ages:       make(map[tusd.UploadClass]time.Duration),
		DryRun:     cfg.housekeeping.dryRun,
		Rate:       cfg.housekeeping.rate,
		OnlyWriter: cfg.isOnlyWriter(),
	}
	for _, a := range cfg.housekeeping.ages() {
		policy.Ages[a.class] = a.age
	}
	return policy
}

// isOnlyWriter reports whether no process changes the store whose locks this one does not
// see.
func (cfg config) isOnlyWriter() bool {
	storage, _ := cfg.chosenStorage()
	locker, _ := cfg.chosenLocker()
	return locker.scope != tusd.ScopeProcess || storage.refusesSecond || cfg.onlyProcess
}

// unseenLocks tells why a process that is not the only writer does less.
const unseenLocks = "the locks are in the memory of each process, so other processes do not see them"

// validateHousekeeping finds ages that a sweep refuses, and settings of sweeps without
// sweeps. The commands sweep without an interval.
func (cfg config) validateHousekeeping() error {
	h := cfg.housekeeping
	locker, _ := cfg.chosenLocker()
	for _, a := range h.ages() {
		policy := tusd.SweepPolicy{Ages: map[tusd.UploadClass]time.Duration{a.class: a.age}, OnlyWriter: cfg.isOnlyWriter()}
		if policy.Validate(locker.scope) != nil {
			return fmt.Errorf("%s must be 0 or at least 24h: %s", cfg.sources.name(a.flag), unseenLocks)
		}
		if a.age > 0 && !cfg.sweeps() {
			return cfg.need(a.flag, "sweep-interval")
		}
	}
	for _, name := range []string{"sweep-dry-run", "sweep-rate"} {
		if cfg.isSet(name) && !cfg.sweeps() {
			return cfg.need(name, "sweep-interval")
		}
	}
	return cfg.validateLimits()
}

// validateLimits finds settings about space that have no effect.
func (cfg config) validateLimits() error {
	for _, c := range []struct {
		setting, partner string
		there            bool
	}{
		{"store-policy", "store-size", cfg.housekeeping.storeSize > 0},
		{"owner-quota", "store-size", cfg.housekeeping.storeSize > 0},
		{"owner-quota", "owner-metadata", cfg.housekeeping.ownerMetadata != ""},
		{"owner-max-upload", "store-size", cfg.housekeeping.storeSize > 0},
		{"owner-max-upload", "owner-metadata", cfg.housekeeping.ownerMetadata != ""},
	} {
		if cfg.isSet(c.setting) && !c.there {
			return cfg.need(c.setting, c.partner)
		}
	}
	return nil
}

// limit wraps the store of composer if the flags limit it; else it returns nil.
func (h *housekeepingSettings) limit(composer *tusd.StoreComposer, logger *slog.Logger) *limitedstore.LimitedStore {
	if h.storeSize == 0 {
		return nil
	}
	limited := limitedstore.New(h.storeSize, composer)
	limited.Policy, limited.OwnerQuota, limited.OwnerMaxUpload, limited.Log = limitedstore.Policy(h.storePolicy), h.ownerQuota, h.ownerMaxUpload, logger
	limited.UseIn(composer)
	return limited
}

// sweeps reports whether the flags of sweeps have an effect.
func (cfg config) sweeps() bool { return cfg.housekeeping.sweepInterval > 0 || cfg.isCommand }

// callbacks returns the callbacks of the daemon.
func (h *housekeepingSettings) callbacks() (callbacks tusd.Callbacks) {
	if h.ownerMetadata != "" {
		callbacks.PreCreate = h.setOwner
	}
	return callbacks
}

// setOwner takes the owner of a new upload from its metadata.
func (h *housekeepingSettings) setOwner(_ context.Context, event tusd.Event) (response tusd.HTTPResponse, changes tusd.FileInfoChanges, err error) {
	changes.Owner = event.Upload.MetaData[h.ownerMetadata]
	return response, changes, nil
}
