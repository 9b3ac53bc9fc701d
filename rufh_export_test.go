package tusd

import "net/http"

// The parsers of the draft's and of RFC 9530's fields, and of Upload-Checksum.

var (
	FieldInteger = fieldInteger
	FieldBool    = fieldBool
)

// Entry is one entry of a dictionary.
type Entry struct {
	Bytes   []byte
	Integer int64
	IsBytes bool
}

// FieldDictionary reads a dictionary. Entries are those that mean something.
func FieldDictionary(values []string) (map[string]Entry, bool) {
	entries := make(map[string]Entry)
	ok := fieldDictionary(values, func(key string, item bareItem) {
		delete(entries, key)
		if item.kind == bytesValue || item.kind == integerValue {
			entries[key] = Entry{item.digest(), item.integer, item.kind == bytesValue}
		}
	})
	if !ok {
		return nil, false
	}
	return entries, true
}

// ParseChecksum reads Upload-Checksum.
func ParseChecksum(s string) (algorithm string, want []byte, err error) {
	a, want, err := parseChecksum(s)
	if err != nil {
		return "", nil, err
	}
	return a.tus, want, nil
}

// RUFHMarked tells whether a request speaks the draft.
func RUFHMarked(r *http.Request) bool { return hasIETFMark(r) }
