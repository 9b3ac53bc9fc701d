package datakey

import (
	"strings"
	"unicode"
)

// SafeName makes a segment, or a part of one, out of what a client calls a file:
// letters with their marks, digits and a few signs. It has at most limit bytes
// or a few more, is neither hidden nor reserved, and never empty.
func SafeName(name, signs string, limit int) string {
	name = keepHarmless([]rune(strings.ToValidUTF8(name, "_")), signs)
	if cut := len(name) - limit; cut > 0 { // the end has the extension
		name = strings.TrimLeftFunc(strings.ToValidUTF8(name[cut:], ""), needsBase)
	}
	name = strings.TrimRight(strings.TrimLeft(name, ". "), ". ") // Windows drops what is at the end
	if name == "" {
		return "file"
	}
	if Reserved(name) {
		name += "_"
	}
	if isDevice(name) {
		name = "_" + name
	}
	return name
}

func keepHarmless(name []rune, signs string) string {
	var kept strings.Builder
	joinable := false // a mark or joiner belongs to what was kept last
	for i, r := range name {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r), unicode.IsMark(r) && joinable:
			joinable = true
		case isJoiner(r) && joinable && i+1 < len(name) && (unicode.IsLetter(name[i+1]) || unicode.IsMark(name[i+1])):
		case strings.ContainsRune(signs, r):
			joinable = false
		default:
			r, joinable = '_', false
		}
		kept.WriteRune(r)
	}
	return kept.String()
}

// isJoiner reports whether r is the zero-width joiner or non-joiner. Within
// words of some languages they make a difference, elsewhere they are invisible.
func isJoiner(r rune) bool { return r == '\u200d' || r == '\u200c' }

// needsBase reports whether r is nothing without the letter before it.
func needsBase(r rune) bool { return unicode.IsMark(r) || isJoiner(r) }

// IsBidi reports whether r changes the order in which what follows is shown: a
// name can look as if it had another extension.
func IsBidi(r rune) bool { return r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' }
