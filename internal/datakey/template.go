// Package datakey makes the name of an upload's data from a template, and knows
// which names the stores reserve. All stores use the same rules. A template is a
// relative path or key; it must contain {id}, and may contain {date} and
// {filename}.
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
	// maxExpanded bounds what a template with a short file name expands to, in bytes.
	maxExpanded = 1000
	// MaxSegment is the longest file name of usual file systems, in bytes.
	MaxSegment = 255
)

// Upload has the values for the placeholders of a template.
type Upload struct {
	ID       string
	Created  time.Time
	Filename string // as the client sent it
}

// Expand replaces the placeholders of a template. {filename} becomes one
// segment, or a part of one, that is safe in every store (SafeName).
func Expand(template string, u Upload) string {
	return strings.NewReplacer("{id}", u.ID, "{date}", u.Created.UTC().Format(time.DateOnly), "{filename}", SafeName(u.Filename)).Replace(template)
}

// Check returns an error if a template is not allowed; the empty one is. Allowed
// templates give different names to different ids, on every system and at every
// service, so that uploads can be moved between them.
func Check(template string) error {
	if template == "" {
		return nil
	}
	if !strings.Contains(template, "{id}") {
		return errors.New("the template lacks {id}, without which two uploads could have the same name")
	}
	if err := checkText(template); err != nil {
		return err
	}
	example := Expand(template, Upload{ID: strings.Repeat("0", 32), Filename: "f"})
	if strings.ContainsAny(example, "{}") {
		return errors.New("the template has more than {id}, {date} and {filename} in braces")
	}
	if len(example) > maxExpanded {
		return fmt.Errorf("the template leads to names of more than %d bytes", maxExpanded)
	}
	for segment := range strings.SplitSeq(example, "/") {
		if err := checkSegment(segment); err != nil {
			return fmt.Errorf("the template: %w", err)
		}
	}
	return nil
}

// foreign are the characters that Windows does not allow in a file name.
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
	case ReservedAnyCase(segment):
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

// CheckPath refuses a path with empty, "." or ".." segments: two such paths can
// name one file.
func CheckPath(path string) error {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return errors.New("a segment is empty or a dot path")
		}
	}
	return nil
}

// IDIn returns the id in a name that the template expands to for it. ok is false if the name
// is not one of the template, or if {id} is not a segment of the template: then a name may
// be that of several ids.
func IDIn(template, name string) (id string, ok bool) {
	segments := strings.Split(name, "/")
	i := 0
	for pattern := range strings.SplitSeq(template, "/") {
		switch {
		case i == len(segments):
			return "", false
		case pattern == "{id}" && (id == "" || id == segments[i]):
			id = segments[i]
		case pattern == "{id}", strings.Contains(pattern, "{id}"):
			return "", false
		case !strings.Contains(pattern, "{") && pattern != segments[i]:
			return "", false
		}
		i++
	}
	return id, id != "" && i == len(segments)
}
