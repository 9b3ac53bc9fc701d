package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tus/tusd"
)

// hooksName is the command that has commands of its own: about the events that no hook has.
const hooksName = "hooks"

func hooksCommands() []command {
	return []command{commandOf(hooksLsCommand), commandOf(hooksShowCommand), commandOf(hooksReplayCommand), commandOf(hooksDropCommand)}
}

// runHooks is tusd hooks.
func runHooks(c invocation) int {
	if len(c.args) > 0 {
		if asksForHelp(c.args[0]) {
			writeHooksHelp(c.stdout)
			return exitOK
		}
		for _, own := range hooksCommands() {
			if own.name == hooksName+" "+c.args[0] {
				c.args = c.args[1:]
				return own.run(c)
			}
		}
	}
	return c.usageError("hooks needs one of its commands: ls, show, replay or drop", "tusd help hooks for what they do")
}

const hooksIntro = `The post-* events that no hook has yet are kept in the store. The server delivers
them until the hooks have them, and gives up after -hooks-give-up-after: then the
event is dead. These commands may run beside the server.

`

func writeHooksHelp(w io.Writer) {
	fmt.Fprint(w, "Usage: tusd hooks command [flags]\n\n", hooksIntro)
	for _, own := range hooksCommands() {
		fmt.Fprintf(w, "  tusd %-16s %s\n", own.name, own.summary)
	}
	fmt.Fprint(w, "\ntusd hooks ls -help explains a command.\n")
}

const (
	hooksLsIntro = `It lists the post-* events that no hook has yet: state (waiting or dead), type, how
long ago the event was to be delivered, attempts, id of the upload, key for the
other commands, last error. It changes nothing, and may run beside the server.
Attempts and errors of a waiting event are known some time after the first failure.
`
	hooksShowIntro = `It shows all that is known of events that no hook has yet, with what the store keeps
of them. It changes nothing, and may run beside the server.
`
	hooksReplayIntro = `It lets dead events be delivered again. The server begins within minutes, or at its
next start.
`
	hooksDropIntro = `It removes events that no hook has yet: they are not delivered.
`
)

func hooksLsCommand() storeCommand {
	l := new(eventListing)
	return storeCommand{name: "hooks ls", summary: "list events that no hook has yet", intro: hooksLsIntro, declare: l.declare, run: l.run}
}

func hooksShowCommand() storeCommand {
	s := new(eventShowing)
	return storeCommand{
		name: "hooks show", summary: "show such an event", usage: " KEY...", intro: hooksShowIntro, takes: "the key of an event", least: 1, most: -1,
		declare: s.declare, run: s.run,
	}
}

func hooksReplayCommand() storeCommand {
	c := &eventChange{
		done: "queued", what: "is delivered again",
		change: func(ctx context.Context, a *storeAccess, event *tusd.UndeliveredEvent) error {
			if !event.Dead {
				return errors.New("it is not dead: the server delivers it")
			}
			return a.handler.Redeliver(ctx, event.Key)
		},
	}
	return storeCommand{name: "hooks replay", summary: "deliver dead events again", usage: " KEY...", intro: hooksReplayIntro, most: -1, declare: c.declare, run: c.run}
}

func hooksDropCommand() storeCommand {
	c := &eventChange{
		done: "dropped", what: "is dropped",
		change: func(ctx context.Context, a *storeAccess, event *tusd.UndeliveredEvent) error {
			if !event.Dead && !a.cfg.isOnlyWriter() { // a server may need the record for more than the event
				return errors.New("it is not dead, and " + unseenLocks + ": stop all servers, and promise with -only-process that no other process uses the bucket")
			}
			return a.handler.DropEvent(ctx, event.Key)
		},
	}
	return storeCommand{name: "hooks drop", summary: "remove events that no hook has yet", usage: " KEY...", intro: hooksDropIntro, most: -1, declare: func(cfg *config, f *flag.FlagSet) {
		c.declare(cfg, f)
		onlyProcessVar(cfg, f)
	}, run: c.run}
}

// eventLine is an event as commands print it, and its JSON form, which is stable.
type eventLine struct {
	Key      string         `json:"key"`
	Event    tusd.EventType `json:"event"`
	ID       string         `json:"id"` // of the upload
	Dead     bool           `json:"dead"`
	Since    time.Time      `json:"since"`
	Tried    time.Time      `json:"tried,omitzero"`
	Attempts int            `json:"attempts"` // 0: not known, as are Tried and Error
	Error    string         `json:"error,omitempty"`
}

func lineOf(e *tusd.UndeliveredEvent) eventLine {
	return eventLine{e.Key.Kind + "/" + e.Key.Name, e.Type, e.UploadID, e.Dead, e.Since, e.Tried, e.Attempts, e.Error}
}

func (l *eventLine) state() string {
	if l.Dead {
		return "dead"
	}
	return "waiting"
}

// keyOf parses a key that a listing has printed.
func keyOf(text string) (tusd.SideRecordKey, error) {
	kind, name, ok := strings.Cut(text, "/")
	key := tusd.SideRecordKey{Kind: kind, Name: name}
	if !ok || tusd.ValidateSideRecord(key, nil) != nil {
		return key, errUsage{fmt.Errorf("%q is no key of an event: tusd hooks ls prints them", cutText(text))}
	}
	return key, nil
}

// keys returns the keys that the arguments name.
func (a *storeAccess) keys() ([]tusd.SideRecordKey, error) {
	var keys []tusd.SideRecordKey
	for _, argument := range a.args {
		key, err := keyOf(argument)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// complainOfEvent prints what is wrong with one event.
func (a *storeAccess) complainOfEvent(key tusd.SideRecordKey, err error) {
	reason := problemText(err)
	switch {
	case errors.Is(err, tusd.ErrNotFound) && !errors.Is(err, tusd.ErrBroken):
		reason = "there is no such event: it was delivered or dropped"
	case errors.Is(err, tusd.ErrUploadFinishing):
		reason = "its upload is not finished yet, which needs what is kept of the event"
	}
	a.complainOf(key.Kind+"/"+key.Name, reason)
}

// eventListing is tusd hooks ls.
type eventListing struct{ json, dead bool }

func (l *eventListing) declare(_ *config, f *flag.FlagSet) {
	f.BoolVar(&l.json, "json", false, "an object of JSON per line instead of a table")
	f.BoolVar(&l.dead, "dead", false, "only dead events")
}

const eventColumns = "%-7s %-14s %5s %8v  %-32s  %s  %s\n"

func (l *eventListing) run(ctx context.Context, a *storeAccess) error {
	if err := a.openForReading(); err != nil {
		return err
	}
	if !l.json {
		if err := a.printf(eventColumns, "STATE", "EVENT", "AGE", "ATTEMPTS", "ID", "KEY", "ERROR"); err != nil {
			return err
		}
	}
	return a.handler.Undelivered(ctx, func(event tusd.UndeliveredEvent) error {
		if l.dead && !event.Dead {
			return nil
		}
		line := lineOf(&event)
		if l.json {
			return a.writeJSON(line)
		}
		attempts := "?"
		if line.Attempts > 0 {
			attempts = fmt.Sprint(line.Attempts)
		}
		return a.printf(eventColumns, line.state(), line.Event, shortDuration(time.Since(line.Since)), attempts, printable(line.ID), line.Key, cutText(printable(line.Error)))
	})
}

// eventShowing is tusd hooks show.
type eventShowing struct{ json bool }

func (s *eventShowing) declare(_ *config, f *flag.FlagSet) {
	f.BoolVar(&s.json, "json", false, "an object of JSON per line instead of text")
}

func (s *eventShowing) run(ctx context.Context, a *storeAccess) error {
	keys, err := a.keys()
	if err != nil {
		return err
	}
	return showEach(a, keys, s.json, func(key tusd.SideRecordKey) error { return s.show(ctx, a, key) }, a.complainOfEvent)
}

func (s *eventShowing) show(ctx context.Context, a *storeAccess, key tusd.SideRecordKey) error {
	event, err := a.handler.UndeliveredEvent(ctx, key)
	if err != nil {
		return err
	}
	record, err := a.composer.SideRecords.GetSideRecord(ctx, key)
	if err != nil {
		return err
	}
	line := lineOf(&event)
	if s.json {
		return a.writeJSON(struct {
			eventLine
			Record json.RawMessage `json:"record"` // as it is stored
		}{line, record})
	}
	print := func(name, value string) { a.printf("%-10s %s\n", name, printable(value)) }
	print("key", line.Key)
	print("event", string(line.Event))
	print("id", line.ID)
	print("state", line.state())
	print("since", line.Since.UTC().Format(time.RFC3339))
	if line.Attempts > 0 {
		print("tried", line.Tried.UTC().Format(time.RFC3339))
		print("attempts", fmt.Sprint(line.Attempts))
		print("error", line.Error)
	}
	var text bytes.Buffer
	if err := json.Indent(&text, record, "", "  "); err != nil {
		return err
	}
	return a.printf("record\n%s\n", printableLines(text.String()))
}

// eventChange is tusd hooks replay or drop.
type eventChange struct {
	done string // what an event is afterwards
	what string // for the help
	// change changes one event.
	change func(context.Context, *storeAccess, *tusd.UndeliveredEvent) error

	dead   bool
	failed bool
}

func (c *eventChange) declare(_ *config, f *flag.FlagSet) {
	f.BoolVar(&c.dead, "dead", false, "every dead event "+c.what)
}

func (c *eventChange) run(ctx context.Context, a *storeAccess) error {
	keys, err := a.keys()
	switch {
	case err != nil:
		return err
	case c.dead == (len(keys) > 0):
		return errUsage{errors.New(a.command + " needs keys of events, or -dead and no key")}
	}
	if err := a.openBesideServers(); err != nil {
		return err
	}
	if c.dead {
		err = a.handler.Undelivered(ctx, func(event tusd.UndeliveredEvent) error {
			if !event.Dead {
				return nil
			}
			return c.apply(ctx, a, &event)
		})
	}
	for _, key := range keys {
		event, err := a.handler.UndeliveredEvent(ctx, key)
		if err == nil {
			err = c.apply(ctx, a, &event)
		} else if errors.Is(err, tusd.ErrNotFound) {
			c.complain(a, key, err)
			err = nil
		}
		if err != nil {
			return err
		}
	}
	if err == nil && c.failed {
		return errReported
	}
	return err
}

// apply changes one event. It returns only errors after which others need not be tried.
func (c *eventChange) apply(ctx context.Context, a *storeAccess, event *tusd.UndeliveredEvent) error {
	if err := c.change(ctx, a, event); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		c.complain(a, event.Key, err)
		return nil
	}
	line := lineOf(event)
	a.printf("%s %s: %s of %s\n", c.done, line.Key, line.Event, printable(line.ID))
	return a.out.Flush()
}

func (c *eventChange) complain(a *storeAccess, key tusd.SideRecordKey, err error) {
	c.failed = true
	a.complainOfEvent(key, err)
}
