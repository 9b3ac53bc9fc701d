package cli

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/tus/tusd"
)

const sweepIntro = `It removes what the server's sweeper removes with these flags, once: uploads that
have expired or are older than the age of their class, and what is left in the store
of removed uploads. Uploads that are in use stay. -dry-run shows it before, and
changes nothing. The server may be running: the locks of a directory, or of a lock
service, keep the two apart.
`

// sweepRun is tusd sweep.
type sweepRun struct {
	json   bool
	dryRun bool
}

func sweepCommand() storeCommand {
	s := new(sweepRun)
	return storeCommand{name: "sweep", summary: "remove old uploads and leftovers", intro: sweepIntro, declare: s.declare, run: s.run}
}

func (s *sweepRun) declare(cfg *config, f *flag.FlagSet) {
	f.BoolVar(&s.dryRun, "dry-run", false, "remove nothing, and show what would be removed")
	f.BoolVar(&s.json, "json", false, "an object of JSON per line instead of text")
	onlyProcessVar(cfg, f)
}

// sweptLine is the JSON form of an upload in tusd sweep, leftoverLine that of a leftover,
// and sweepTotal that of the summary at the end.
type sweptLine struct {
	Upload  uploadLine `json:"upload"`
	Removed bool       `json:"removed"` // in a dry run: it would be removed
	Error   string     `json:"error,omitempty"`
}

type leftoverLine struct {
	Leftover struct {
		Kind    string    `json:"kind"`
		Name    string    `json:"name"`
		Bytes   int64     `json:"bytes"`
		Changed time.Time `json:"changed,omitzero"`
	} `json:"leftover"`
	Removed bool   `json:"removed"`
	Error   string `json:"error,omitempty"`
}

type sweepTotal struct {
	Summary struct {
		DryRun    bool  `json:"dry_run"`
		Uploads   int   `json:"uploads"` // that were old enough to be looked at
		Removed   int   `json:"removed"`
		Bytes     int64 `json:"bytes"`
		Failed    int   `json:"failed"`
		Leftovers int   `json:"leftovers"`
		Kept      int   `json:"kept"`
	} `json:"summary"`
}

func (s *sweepRun) run(ctx context.Context, a *storeAccess) error {
	policy := a.cfg.sweepPolicy()
	policy.DryRun = policy.DryRun || s.dryRun
	a.logger = slog.New(withoutMessages{a.logger.Handler(), sweepMessages})
	s.showProgress(a)
	open := a.openForChanges
	if policy.DryRun {
		open = a.openForReading
	}
	if err := open(); err != nil {
		return err
	}
	var failed error // of the output
	keep := func(err error) {
		if failed == nil {
			failed = err
		}
	}
	policy.Report = func(u tusd.SweptUpload) { keep(s.reportUpload(a, &u, policy.DryRun)) }
	policy.ReportLeftover = func(l tusd.Leftover) { keep(s.reportLeftover(a, &l, policy.DryRun)) }
	summary, err := a.handler.Sweep(ctx, policy)
	if err == nil || ctx.Err() != nil {
		keep(s.conclude(a, &summary, policy.DryRun))
	}
	if err = errors.Join(err, failed); err == nil && summary.Failed > 0 {
		return errReported
	}
	return err
}

// sweepMessages are messages of the log that tell what the command prints.
var sweepMessages = []string{"a leftover stays", "an upload could not be swept"}

// showProgress shows how much the sweep has looked at.
func (s *sweepRun) showProgress(a *storeAccess) {
	var uploads, others atomic.Int64
	a.onListed = func() { a.progress.show("%s looked at", counted(uploads.Add(1), "upload")) }
	a.onTidied = func() {
		a.progress.show("%s looked at, looking for leftovers: %d names", counted(uploads.Load(), "upload"), others.Add(1))
	}
}

// The columns of a line of tusd sweep: what happens, the class or kind, the age, the size
// and the name.
const sweptColumns = "%-12s %-13s %5s %7s  %s\n"

// happens returns what happens to an upload or a leftover.
func happens(removed, dryRun bool, err error) string {
	switch {
	case err != nil:
		return "failed"
	case !removed:
		return "kept"
	case dryRun:
		return "would remove"
	}
	return "removed"
}

func (s *sweepRun) reportUpload(a *storeAccess, u *tusd.SweptUpload, dryRun bool) error {
	listed := tusd.Listed{ID: u.Upload.ID, Changed: u.Upload.Changed, Bytes: u.Bytes}
	if u.Class != "" {
		listed.Record = &u.Upload
	}
	line := a.describe(&listed, nil)
	if s.json {
		swept := sweptLine{Upload: line, Removed: u.Err == nil}
		if u.Err != nil {
			swept.Error = problemText(u.Err)
		}
		return a.writeJSON(swept)
	}
	name := cutText(printable(line.Name))
	if u.Err != nil {
		name = printable(problemText(u.Err))
	}
	return a.printf(sweptColumns, happens(true, dryRun, u.Err), line.stateName(), ageOf(u.Upload.Changed), shortSize(u.Bytes), printable(line.ID)+"  "+name)
}

func (s *sweepRun) reportLeftover(a *storeAccess, l *tusd.Leftover, dryRun bool) error {
	if s.json {
		line := leftoverLine{Removed: l.Removed}
		line.Leftover.Kind, line.Leftover.Name, line.Leftover.Bytes, line.Leftover.Changed = string(l.Kind), l.Name, l.Bytes, l.Changed
		if l.Err != nil {
			line.Error = problemText(l.Err)
		}
		return a.writeJSON(line)
	}
	name, what := l.Name, happens(l.Removed, dryRun, nil)
	if l.Err != nil {
		name += "  " + problemText(l.Err)
	}
	return a.printf(sweptColumns, what, string(l.Kind), ageOf(l.Changed), shortSize(l.Bytes), printable(name))
}

func (s *sweepRun) conclude(a *storeAccess, summary *tusd.SweepSummary, dryRun bool) error {
	if s.json {
		var t sweepTotal
		t.Summary.DryRun, t.Summary.Uploads, t.Summary.Removed, t.Summary.Bytes = dryRun, summary.Uploads, summary.Removed, summary.Bytes
		t.Summary.Failed, t.Summary.Leftovers, t.Summary.Kept = summary.Failed, summary.Leftovers, summary.Kept
		return a.writeJSON(t)
	}
	verb, stay := "removed", "stay"
	if dryRun {
		verb = "would remove"
	}
	if summary.Kept == 1 {
		stay = "stays"
	}
	return a.printf("%s %s (%s) and %s; %d failed; %s %s\n", verb, counted(summary.Removed, "upload"), longSize(summary.Bytes),
		counted(summary.Leftovers, "leftover"), summary.Failed, counted(summary.Kept, "leftover"), stay)
}

func ageOf(changed time.Time) string {
	if changed.IsZero() {
		return "?"
	}
	return shortDuration(time.Since(changed))
}
