package datakey

import "strings"

// ReservedSuffixes are the suffixes of the files and objects that stores and lockers create
// beside the data. No segment of an id ends with one.
var ReservedSuffixes = []string{".info", ".lock", ".stop", ".part", ".undo"}

// Reserved reports whether a segment belongs to a store or a locker. No segment
// of an id does.
func Reserved(segment string) bool {
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

// ReservedAnyCase is Reserved for file systems that ignore case: there x.INFO is
// the record of x.
func ReservedAnyCase(segment string) bool { return Reserved(strings.ToLower(segment)) }

// isDevice reports whether a name means a device on Windows. The text after the
// first dot makes no difference.
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
