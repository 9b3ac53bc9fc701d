// Package disposition writes the header Content-Disposition for file names that
// come from clients.
package disposition

import (
	"net/url"
	"strings"
	"unicode"

	"github.com/tus/tusd/internal/datakey"
)

// Format returns a Content-Disposition of a type ("attachment" or "inline") with
// a file name; "" is no name. Characters that could make the name a path, or
// make it look like another name, become "_".
func Format(dispositionType, filename string) string {
	if filename == "" {
		return dispositionType
	}
	return dispositionType + parameters(sanitize(filename))
}

// parameters writes a name as filename and, if it has other characters than that allows,
// filename* (RFC 6266, RFC 8187).
func parameters(name string) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 0x7f || strings.ContainsRune(`"%`, r) {
			return '_'
		}
		return r
	}, name)
	s := `; filename="` + plain + `"`
	if plain != name {
		s += "; filename*=UTF-8''" + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
	}
	return s
}

func sanitize(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || datakey.IsBidi(r) || strings.ContainsRune(`/\`, r) {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(name, "\uFFFD"))
}
