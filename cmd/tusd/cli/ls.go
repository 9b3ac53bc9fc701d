package cli

import (
	"context"
	"errors"
	"flag"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tus/tusd"
)

const lsIntro = `It lists the uploads: state, time since the last change, bytes that are stored,
length, owner, id and file name, in the order of the store. It changes nothing,
and may run beside the server.

The states: never-started (no byte has come), unfinished, partial (to be
concatenated), complete, failed (can never become complete), waiting (will be
complete without a request), expired, broken (the record cannot be used), unknown
(it could not be read; the exit code is then 1).
`

// listing is tusd ls.
type listing struct {
	classes []string // nil: all
	older   time.Duration
	json    bool
	running bool
}

func lsCommand() storeCommand {
	l := new(listing)
	return storeCommand{name: "ls", summary: "list the uploads", intro: lsIntro, declare: l.declare, run: l.run}
}

func (l *listing) declare(_ *config, f *flag.FlagSet) {
	f.BoolVar(&l.json, "json", false, "an object of JSON per line instead of a table")
	listVar(f, &l.classes, "class", "only uploads in these `states`, separated by commas", parseState)
	durationOrZeroVar(f, &l.older, "older-than", 0, "only uploads that have not changed for this `duration`")
	f.BoolVar(&l.running, "running", false, "list the requests whose content the server at\n-admin-listen is receiving, instead of the uploads")
}

// states are all states that ls knows.
func states() []string {
	names := []string{stateExpired, stateBroken, stateUnknown}
	for _, class := range tusd.AllClasses {
		names = append(names, string(class))
	}
	return names
}

func parseState(text string) (string, error) {
	if !slices.Contains(states(), text) {
		return "", errors.New("must be " + enumeration(states()))
	}
	return text, nil
}

func (l *listing) run(ctx context.Context, a *storeAccess) error {
	if l.running {
		return a.listRunning(ctx, l)
	}
	var looked atomic.Int64
	a.onListed = func() { a.progress.show("%s looked at", counted(looked.Add(1), "upload")) }
	if err := a.openForReading(); err != nil {
		return err
	}
	if !l.json {
		if err := a.printf(uploadColumns, uploadTitles...); err != nil {
			return err
		}
	}
	failed := false
	for page, err := range a.pages(ctx, l.filter(time.Now())) {
		if err != nil {
			return err
		}
		for i := range page {
			if err := l.write(a, &page[i]); err != nil {
				return err
			}
			failed = failed || page[i].State == stateUnknown
		}
	}
	if failed {
		return errReported
	}
	return nil
}

// filter leaves out what is too young, and what the listing knows to be of another class.
func (l *listing) filter(now time.Time) tusd.ListFilter {
	if l.classes == nil && l.older == 0 {
		return tusd.ListFilter{}
	}
	before := make(map[tusd.UploadClass]time.Time)
	for _, class := range tusd.AllClasses {
		all := l.classes == nil || slices.ContainsFunc(l.classes, func(s string) bool { return !slices.Contains(tusd.AllClasses, tusd.UploadClass(s)) })
		if all || slices.Contains(l.classes, string(class)) {
			before[class] = now.Add(-l.older)
			if l.older == 0 {
				before[class] = now.AddDate(1000, 0, 0) // clocks differ
			}
		}
	}
	return tusd.ListFilter{Before: before}
}

// write prints a line, if it has one of the states.
func (l *listing) write(a *storeAccess, line *uploadLine) error {
	if l.classes != nil && !slices.Contains(l.classes, line.stateName()) {
		return nil
	}
	if l.json {
		return a.writeJSON(line)
	}
	return a.printf(uploadColumns, line.columns(time.Now())...)
}

// uploadsPerPage is how many uploads commands list at a time, and loadsAtOnce how many
// records they load at the same time, if the listing has not read them.
const (
	uploadsPerPage = 1000
	loadsAtOnce    = 16
)

// pages returns the uploads of the store by pages.
func (a *storeAccess) pages(ctx context.Context, filter tusd.ListFilter) func(yield func([]uploadLine, error) bool) {
	return func(yield func([]uploadLine, error) bool) {
		for cursor := ""; ; {
			page, next, err := a.composer.Lister.List(ctx, cursor, filter, uploadsPerPage)
			if err != nil {
				yield(nil, err)
				return
			}
			lines, err := a.describeAll(ctx, page)
			if !yield(lines, err) || err != nil || next == "" {
				return
			}
			cursor = next
		}
	}
}

// describeAll returns the lines of uploads that still exist.
func (a *storeAccess) describeAll(ctx context.Context, page []tusd.Listed) ([]uploadLine, error) {
	lines := make([]uploadLine, len(page))
	err := eachAtOnce(ctx, len(page), loadsAtOnce, func(i int) {
		if ok, err := a.loadRecord(ctx, &page[i]); ok {
			lines[i] = a.describe(&page[i], err)
		}
	})
	return slices.DeleteFunc(lines, func(l uploadLine) bool { return l.ID == "" }), err
}

// eachAtOnce calls f for the numbers below n, atOnce at the same time. It returns the cause
// of ctx if that ends before.
func eachAtOnce(ctx context.Context, n, atOnce int, f func(i int)) error {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(n, atOnce) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}
