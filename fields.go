package tusd

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
)

// Structured fields (RFC 9651), as far as the IETF draft and RFC 9530 use
// them: items that are integers or booleans, and dictionaries of byte
// sequences or integers. A field that does not parse is as if it were absent.

// fieldInteger reads an Item that is an integer of zero or more.
func fieldInteger(header http.Header, name string) (int64, bool) {
	bare, ok := fieldItem(header, name)
	if !ok {
		return 0, false
	}
	return parseFieldInteger(bare)
}

// parseFieldInteger reads at most 15 digits; leading zeros count as digits.
func parseFieldInteger(s string) (int64, bool) {
	const mostDigits = 15
	if s == "" || len(s) > mostDigits || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// fieldBool reads an Item that is a boolean.
func fieldBool(header http.Header, name string) (value, ok bool) {
	bare, ok := fieldItem(header, name)
	if !ok || bare != "?1" && bare != "?0" {
		return false, false
	}
	return bare == "?1", true
}

// fieldItem returns the bare item of a field that stands in one line, less
// its parameters.
func fieldItem(header http.Header, name string) (bare string, ok bool) {
	values := header[name]
	if len(values) != 1 {
		return "", false
	}
	bare, parameters, parameterized := strings.Cut(strings.Trim(values[0], " "), ";")
	if parameterized && !validParameters(parameters) {
		return "", false
	}
	return bare, bare != ""
}

// validParameters checks what follows an item's first semicolon: parameters
// are legal and mean nothing here.
func validParameters(s string) bool {
	for parameter := range strings.SplitSeq(s, ";") {
		key, value, assigned := strings.Cut(strings.TrimLeft(parameter, " "), "=")
		if !fieldKey(key) || assigned && !fieldValue(value) {
			return false
		}
	}
	return true
}

// fieldKey tells whether s is a key (RFC 9651, section 3.1.2).
func fieldKey(s string) bool {
	for i := range len(s) {
		c := s[i]
		lower := 'a' <= c && c <= 'z' || c == '*'
		if !lower && (i == 0 || !('0' <= c && c <= '9' || strings.IndexByte("_-.", c) >= 0)) {
			return false
		}
	}
	return s != ""
}

// fieldValue tells whether s could be a bare item without separators in it.
func fieldValue(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == ',' {
			return false
		}
	}
	return s != ""
}

// member is one entry of a dictionary: exactly one of the two values is set.
type member struct {
	bytes   []byte
	integer int64
	isBytes bool
}

// fieldDictionary reads a dictionary whose values are byte sequences or
// integers. The last of several entries with one key counts. ok is false if
// the field is absent or does not parse as a whole.
func fieldDictionary(values []string) (entries map[string]member, ok bool) {
	joined := strings.Trim(strings.Join(values, ","), " \t")
	if joined == "" {
		return nil, false
	}
	entries = make(map[string]member)
	for entry := range strings.SplitSeq(joined, ",") {
		key, value, assigned := strings.Cut(strings.Trim(entry, " \t"), "=")
		if !assigned || !fieldKey(key) {
			return nil, false
		}
		m, ok := parseMember(value)
		if !ok {
			return nil, false
		}
		entries[key] = m
	}
	return entries, true
}

// parseMember reads a value of a dictionary and its parameters.
func parseMember(s string) (member, bool) {
	if inner, found := strings.CutPrefix(s, ":"); found {
		encoded, rest, closed := strings.Cut(inner, ":")
		if !closed || rest != "" && (rest[0] != ';' || !validParameters(rest[1:])) {
			return member{}, false
		}
		decoded, err := base64.StdEncoding.DecodeString(encoded)
		return member{bytes: decoded, isBytes: true}, err == nil
	}
	bare, parameters, parameterized := strings.Cut(s, ";")
	if parameterized && !validParameters(parameters) {
		return member{}, false
	}
	n, ok := parseFieldInteger(bare)
	return member{integer: n}, ok
}
