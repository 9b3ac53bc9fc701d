package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tus/tusd"
)

const showIntro = `It shows what is known of uploads: state, times, expiry, the client's metadata, and
the record as it is stored, with the place and the parts of the data. It changes
nothing, and may run beside the server.
`

// showing is tusd show.
type showing struct{ json bool }

func showCommand() storeCommand {
	s := new(showing)
	return storeCommand{name: "show", summary: "show an upload and its record", usage: " ID|URL...", intro: showIntro, least: 1, most: -1, declare: s.declare, run: s.run}
}

func (s *showing) declare(_ *config, f *flag.FlagSet) {
	f.BoolVar(&s.json, "json", false, "an object of JSON per line instead of text")
}

// shownUpload is the JSON form of tusd show.
type shownUpload struct {
	uploadLine
	Record json.RawMessage `json:"record"` // as it is stored; null: it cannot be read
}

func (s *showing) run(ctx context.Context, a *storeAccess) error {
	ids, err := a.ids()
	if err != nil {
		return err
	}
	return showEach(a, ids, s.json, func(id string) error { return s.show(ctx, a, id) }, a.complain)
}

// showEach shows what the arguments name, with an empty line between two. After ErrNotFound it
// complains and goes on.
func showEach[T any](a *storeAccess, names []T, json bool, show func(T) error, complain func(T, error)) error {
	if err := a.openForReading(); err != nil {
		return err
	}
	failed := false
	for i, name := range names {
		if i > 0 && !json {
			a.printf("\n")
		}
		err := show(name)
		if errors.Is(err, tusd.ErrNotFound) {
			failed = true
			complain(name, err)
			continue
		}
		if err != nil {
			return err
		}
	}
	if failed {
		return errReported
	}
	return nil
}

// complain prints what is wrong with one upload.
func (a *storeAccess) complain(id string, err error) {
	reason := problemText(err)
	if errors.Is(err, tusd.ErrNotFound) && !errors.Is(err, tusd.ErrBroken) {
		reason = "there is no such upload"
	}
	a.complainOf(id, reason)
}

// complainOf prints what is wrong with what has this name.
func (a *storeAccess) complainOf(id, reason string) {
	a.progress.clear()
	fmt.Fprintf(a.stderr, "tusd: %s: %s\n", printable(id), printable(reason))
}

func (s *showing) show(ctx context.Context, a *storeAccess, id string) error {
	listed := &tusd.Listed{ID: id, Bytes: -1}
	ok, err := a.loadRecord(ctx, listed)
	if !ok || err != nil && !errors.Is(err, tusd.ErrBroken) {
		return err
	}
	shown := shownUpload{uploadLine: a.describe(listed, err)}
	if shown.Record, err = a.storedRecord(ctx, id, listed.Record); err != nil {
		return err
	}
	if s.json {
		return a.writeJSON(shown)
	}
	return s.print(a, &shown, listed.Record)
}

// storedRecord returns the record as JSON, nil if it cannot be read.
func (a *storeAccess) storedRecord(ctx context.Context, id string, info *tusd.FileInfo) (json.RawMessage, error) {
	content, err := a.storage.storedRecord(ctx, id)
	switch {
	case err != nil && !errors.Is(err, tusd.ErrNotFound):
		return nil, err
	case json.Valid(content):
		return content, nil
	case info == nil:
		return nil, nil
	}
	return json.Marshal(info)
}

func (s *showing) print(a *storeAccess, u *shownUpload, info *tusd.FileInfo) error {
	line := func(name, value string) { a.printf("%-10s %s\n", name, printable(value)) }
	at := func(name string, t time.Time) {
		if !t.IsZero() {
			line(name, t.UTC().Format(time.RFC3339))
		}
	}
	line("id", u.ID)
	line("state", u.stateName())
	if u.Error != "" {
		hint := ""
		if u.State == stateBroken {
			hint = removalHint(u.ID)
		}
		line("error", u.Error+hint)
	}
	line("stored", bytesOrUnknown(u.Bytes))
	line("length", bytesOrUnknown(u.Length))
	at("created", u.Created)
	at("changed", u.Changed)
	at("expires", u.Expires)
	if info != nil {
		if u.Owner != "" {
			line("owner", u.Owner)
		}
		for _, key := range slices.Sorted(maps.Keys(info.MetaData)) {
			line("metadata", key+"="+info.MetaData[key])
		}
		for _, key := range slices.Sorted(maps.Keys(info.Storage)) {
			line("storage", key+"="+info.Storage[key])
		}
	}
	if u.Record == nil {
		return nil
	}
	var record any
	if err := json.Unmarshal(u.Record, &record); err != nil {
		return err
	}
	text, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return err
	}
	return a.printf("record\n%s\n", printableLines(string(text)))
}

func bytesOrUnknown(n *int64) string {
	if n == nil {
		return "not known"
	}
	return fmt.Sprintf("%d bytes", *n)
}
