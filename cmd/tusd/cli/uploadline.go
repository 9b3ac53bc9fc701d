package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tus/tusd"
)

// uploadLine is an upload as commands print it, and its JSON form, which is stable.
type uploadLine struct {
	ID      string    `json:"id"`
	State   string    `json:"state"` // a class, stateBroken or stateUnknown
	Expired bool      `json:"expired"`
	Created time.Time `json:"created,omitzero"` // zero: not known, as of the next two
	Changed time.Time `json:"changed,omitzero"`
	Expires time.Time `json:"expires,omitzero"`
	Bytes   *int64    `json:"bytes"`  // that are stored; null: not known
	Length  *int64    `json:"length"` // null: not known yet
	Owner   string    `json:"owner"`
	Name    string    `json:"name"` // of the file, from the client
	Error   string    `json:"error,omitempty"`
}

// Further states than the classes of uploads.
const (
	stateExpired = "expired" // in tables only
	stateBroken  = "broken"  // the record cannot be used; the upload can be removed
	stateUnknown = "unknown" // the record could not be read
)

// describe returns the line of an upload. listed.Record is nil if the upload is broken.
func (a *storeAccess) describe(listed *tusd.Listed, err error) uploadLine {
	line := uploadLine{ID: listed.ID, State: stateBroken, Changed: listed.Changed}
	if listed.Bytes >= 0 {
		line.Bytes = &listed.Bytes
	}
	if err != nil {
		line.Error = problemText(err)
		if !errors.Is(err, tusd.ErrBroken) {
			line.State = stateUnknown
		}
	}
	info := listed.Record
	if info == nil {
		return line
	}
	line.State, line.Created, line.Owner, line.Name = string(info.Class()), info.Created, info.Owner, info.MetaData["filename"]
	line.Expires = a.handler.ExpiresAt(*info)
	line.Expired = !line.Expires.IsZero() && !time.Now().Before(line.Expires)
	if !info.SizeIsDeferred {
		line.Length = &info.Size
	} else {
		line.Length = info.KnownLength
	}
	return line
}

// stateName is the state for people.
func (l *uploadLine) stateName() string {
	if l.Expired {
		return stateExpired
	}
	return l.State
}

// The columns of a table of uploads. Ids of the server have 32 characters; a longer text
// moves the rest of its line.
const uploadColumns = "%-13s %5s %7s %7s  %-12s %-32s  %s\n"

var uploadTitles = []any{"STATE", "AGE", "STORED", "LENGTH", "OWNER", "ID", "FILE NAME"}

// columns returns the values of uploadColumns.
func (l *uploadLine) columns(now time.Time) []any {
	age, name := "?", cutText(printable(l.Name))
	if !l.Changed.IsZero() {
		age = shortDuration(now.Sub(l.Changed))
	}
	if l.Error != "" {
		name = printable(l.Error)
	}
	return []any{l.stateName(), age, sizeOrUnknown(l.Bytes), sizeOrUnknown(l.Length), cutText(printable(l.Owner)), printable(l.ID), name}
}

func sizeOrUnknown(n *int64) string {
	if n == nil {
		return "?"
	}
	return shortSize(*n)
}

// writeJSON writes a value in a line of its own.
func (a *storeAccess) writeJSON(value any) error {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	return a.printf("%s", printableJSON(line.String()))
}

// printf writes whole lines. On a terminal they are seen at once, so that progress never
// replaces a part of a line.
func (a *storeAccess) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(a.out, format, args...)
	if err == nil && a.interactive {
		err = a.out.Flush()
	}
	return err
}

// loadRecord adds the record to what a listing tells, if the listing has not read it. ok is
// false if the upload does not exist any more. err tells why there is no record.
func (a *storeAccess) loadRecord(ctx context.Context, listed *tusd.Listed) (ok bool, err error) {
	if listed.Record != nil && listed.Record.Offset >= 0 {
		return true, nil
	}
	info, err := a.handler.Info(ctx, listed.ID)
	listed.Record = nil
	if err != nil {
		return !errors.Is(err, tusd.ErrNotFound) || errors.Is(err, tusd.ErrBroken), err
	}
	listed.Record = &info
	if listed.Bytes < 0 {
		listed.Bytes = info.Offset
	}
	if listed.Changed.IsZero() {
		listed.Changed = info.Changed
	}
	return true, nil
}
