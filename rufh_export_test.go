package tusd

import "net/http"

// The parser of Upload-Checksum, and the sign of the draft.

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
