package datakey

import (
	"strings"
	"unicode"
)

const (
	// MaxSafeName bounds the result of SafeName, in bytes.
	MaxSafeName = 150
	// safeSigns need no quoting in a URL or in a key of S3, and are allowed in
	// file names everywhere.
	safeSigns = "-_.()"
)

// SafeName turns the file name that a client sent into a segment of a path or
// key, or a part of one: letters with their marks, digits and a few signs. The
// result is not empty, not a hidden file and not reserved.
func SafeName(name string) string {
	name = replaceUnsafe([]rune(strings.ToValidUTF8(name, "_")))
	if excess := len(name) - (MaxSafeName - len("__")); excess > 0 { // keep the end, which has the extension
		name = strings.TrimLeftFunc(strings.ToValidUTF8(name[excess:], ""), needsBase)
	}
	name = strings.Trim(name, ".") // hidden on Unix; dropped by Windows at the end
	if name == "" {
		return "file"
	}
	if ReservedAnyCase(name) {
		name += "_"
	}
	if isDevice(name) {
		name = "_" + name
	}
	return name
}

// replaceUnsafe replaces everything that is not allowed in a safe name by "_".
func replaceUnsafe(name []rune) string {
	var safe strings.Builder
	joinable := false // a mark or joiner would belong to a letter
	for i, r := range name {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r), unicode.IsMark(r) && joinable:
			joinable = true
		case isJoiner(r) && joinable && i+1 < len(name) && (unicode.IsLetter(name[i+1]) || unicode.IsMark(name[i+1])):
		case strings.ContainsRune(safeSigns, r):
			joinable = false
		default:
			r, joinable = '_', false
		}
		safe.WriteRune(r)
	}
	return safe.String()
}

// isJoiner reports whether r is the zero-width joiner or non-joiner. Some
// languages need them within words; elsewhere they are invisible.
func isJoiner(r rune) bool { return r == '\u200d' || r == '\u200c' }

// needsBase reports whether r belongs to the letter before it.
func needsBase(r rune) bool { return unicode.IsMark(r) || isJoiner(r) }

// IsBidi reports whether r changes the direction of the text that follows. With
// it a name can look as if it had another extension.
func IsBidi(r rune) bool { return r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' }
