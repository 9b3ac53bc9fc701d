// Package datakey makes the place of an upload's bytes out of a template, alike
// for all stores: a relative path or key in which {id} must stand, and {date}
// and {filename} may.
package datakey

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxTemplate = 1000 // bytes of what a template with a short name leads to
	// MaxSegment is the longest name of a file on usual file systems, in bytes.
	MaxSegment = 255
)

// Upload is what a template is filled with.
type Upload struct {
	ID       string
	Created  time.Time
	Filename string // made harmless
}

// Expand fills a template.
func Expand(template string, u Upload) string {
	return strings.NewReplacer("{id}", u.ID, "{date}", u.Created.UTC().Format(time.DateOnly), "{filename}", u.Filename).Replace(template)
}

// Check returns what is wrong with a template; "" is none. What it accepts leads
// to other names for other ids, on every system and at every service, so that
// uploads can move from one to another.
func Check(template string) error {
	if template == "" {
		return nil
	}
	if !strings.Contains(template, "{id}") {
		return errors.New("the template lacks {id}, without which two uploads could have one place")
	}
	if err := checkText(template); err != nil {
		return err
	}
	example := Expand(template, Upload{ID: strings.Repeat("0", 32), Filename: "f"})
	if strings.ContainsAny(example, "{}") {
		return errors.New("the template has more than {id}, {date} and {filename} in braces")
	}
	if len(example) > maxTemplate {
		return fmt.Errorf("the template leads to names of more than %d bytes", maxTemplate)
	}
	for segment := range strings.SplitSeq(example, "/") {
		if err := checkSegment(segment); err != nil {
			return fmt.Errorf("the template: %w", err)
		}
	}
	return nil
}

// foreign are the characters that Windows has no place for in a name, or takes
// for something else.
const foreign = `\:*?"<>|`

func checkText(template string) error {
	switch {
	case !utf8.ValidString(template) || strings.ContainsFunc(template, func(r rune) bool { return unicode.IsControl(r) || IsBidi(r) }):
		return errors.New("the template has control characters or is not UTF-8")
	case strings.ContainsAny(template, foreign):
		return fmt.Errorf("the template has one of %s in it: directories are separated by /, and not every system has the others", foreign)
	}
	return nil
}

func checkSegment(segment string) error {
	if err := CheckPath(segment); err != nil {
		return err
	}
	switch {
	case Reserved(segment):
		return errors.New("it leads to names that the store uses itself")
	case strings.TrimRight(segment, ". ") != segment:
		return errors.New("a segment ends with a dot or a space, which Windows drops")
	case isDevice(segment):
		return fmt.Errorf("%s is a device on Windows", segment)
	case len(segment) > MaxSegment:
		return fmt.Errorf("a segment has more than %d bytes", MaxSegment)
	}
	return nil
}

// CheckPath refuses a path with segments that are no names: two paths with such
// segments can be one place.
func CheckPath(path string) error {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return errors.New("a segment is empty or a dot path")
		}
	}
	return nil
}

// ReservedSuffixes end the names of files and objects that stores and lockers
// keep beside the data.
var ReservedSuffixes = []string{".info", ".lock", ".stop", ".part", ".undo"}

// Reserved reports whether a segment can only be the store's or a locker's, also
// where upper case is no difference.
func Reserved(segment string) bool {
	segment = strings.ToLower(segment)
	if strings.HasPrefix(segment, ".tusd") {
		return true
	}
	for _, suffix := range ReservedSuffixes {
		if strings.HasSuffix(segment, suffix) {
			return true
		}
	}
	return false
}

// isDevice reports whether Windows takes a name for a device, whatever follows
// its first dot.
func isDevice(name string) bool {
	base, _, _ := strings.Cut(name, ".")
	base = strings.ToLower(strings.TrimRight(base, " "))
	switch base {
	case "con", "prn", "aux", "nul":
		return true
	}
	number, found := strings.CutPrefix(base, "com")
	if !found {
		number, found = strings.CutPrefix(base, "lpt")
	}
	return found && len(number) == 1 && number[0] >= '1' && number[0] <= '9'
}
