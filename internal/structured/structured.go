// Package structured reads structured fields of HTTP (RFC 9651), as far as the IETF
// draft of resumable uploads and RFC 9530 use them: items that are integers or
// booleans, and dictionaries of byte sequences or integers. Values of other types are
// parsed and ignored. A field that does not parse counts as absent.
package structured

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"

	"github.com/tus/tusd/internal/ascii"
)

// Integer reads an Item that is an integer of zero or more.
func Integer(header http.Header, name string) (int64, bool) {
	item, ok := readItem(header[name])
	return item.Integer, ok && item.Kind == IsInteger
}

// Bool reads an Item that is a boolean.
func Bool(header http.Header, name string) (value, ok bool) {
	item, ok := readItem(header[name])
	return item.Boolean, ok && item.Kind == IsBoolean
}

// readItem reads a field of one line.
func readItem(values []string) (Item, bool) {
	if len(values) != 1 {
		return Item{}, false
	}
	s := scanner{strings.Trim(values[0], " ")}
	item, ok := s.item()
	if !ok || s.rest != "" {
		return Item{}, false
	}
	return item, true
}

// Dictionary reads a dictionary and visits its entries, also those whose value is
// ignored. Of several entries with one key, the last counts. ok is false if the field
// is absent or does not parse as a whole; then the visited entries do not count.
// Nothing is copied.
func Dictionary(values []string, visit func(key string, item Item)) (ok bool) {
	for i, value := range values {
		if i == 0 {
			value = strings.TrimLeft(value, " ")
		} else {
			value = strings.TrimLeft(value, " \t")
		}
		s := scanner{value}
		for more := true; more; {
			key, item, ok := s.dictionaryEntry()
			if !ok {
				return false
			}
			visit(key, item)
			s.rest = strings.TrimLeft(s.rest, " \t")
			if more = s.rest != ""; more && !s.skip(',') {
				return false
			}
			s.rest = strings.TrimLeft(s.rest, " \t")
		}
	}
	return len(values) > 0
}

// Kind is the type of a bare item.
type Kind int

const (
	Other Kind = iota // a type that is ignored
	IsInteger
	IsBoolean
	IsBytes
)

// Item is a bare item. Kind tells which field holds its value.
type Item struct {
	Kind    Kind
	Integer int64
	Boolean bool
	Encoded string // valid base64 without padding
}

// Bytes decodes a byte sequence. If it has more bytes than longest, which is a
// multiple of 3, the rest is cut off.
func (item Item) Bytes(longest int) []byte {
	encoded := item.Encoded[:min(len(item.Encoded), longest/3*4)]
	decoded, _ := base64.RawStdEncoding.DecodeString(encoded)
	return decoded
}

// scanner reads values from the front of rest.
type scanner struct{ rest string }

// skip removes c from the front, and reports whether it was there.
func (s *scanner) skip(c byte) bool {
	if s.rest == "" || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// take removes the bytes at the front that are in the set, and returns them.
func (s *scanner) take(in func(byte) bool) string {
	n := 0
	for n < len(s.rest) && in(s.rest[n]) {
		n++
	}
	taken := s.rest[:n]
	s.rest = s.rest[n:]
	return taken
}

func isKeyByte(c byte) bool {
	return ascii.IsLower(c) || ascii.IsDigit(c) || strings.IndexByte("_-.*", c) >= 0
}

// isTokenByte reports whether c may stand in a token (RFC 9651, section 3.3.4).
func isTokenByte(c byte) bool { return ascii.IsTokenByte(c) || c == ':' || c == '/' }

// dictionaryEntry reads one entry of a dictionary.
func (s *scanner) dictionaryEntry() (key string, item Item, ok bool) {
	if key, ok = s.key(); !ok {
		return "", item, false
	}
	switch {
	case !s.skip('='):
		item = Item{Kind: IsBoolean, Boolean: true}
		ok = s.parameters()
	case s.skip('('):
		ok = s.innerList() && s.parameters()
	default:
		item, ok = s.item()
	}
	return key, item, ok
}

func (s *scanner) key() (string, bool) {
	if s.rest == "" || !ascii.IsLower(s.rest[0]) && s.rest[0] != '*' {
		return "", false
	}
	return s.take(isKeyByte), true
}

// item reads a value and its parameters.
func (s *scanner) item() (Item, bool) {
	item, ok := s.bareItem()
	return item, ok && s.parameters()
}

// parameters reads parameters, which are legal and ignored.
func (s *scanner) parameters() bool {
	for s.skip(';') {
		s.rest = strings.TrimLeft(s.rest, " ")
		if _, ok := s.key(); !ok {
			return false
		}
		if s.skip('=') {
			if _, ok := s.bareItem(); !ok {
				return false
			}
		}
	}
	return true
}

// innerList reads the rest of a list after its opening parenthesis.
func (s *scanner) innerList() bool {
	for {
		s.rest = strings.TrimLeft(s.rest, " ")
		if s.skip(')') {
			return true
		}
		if _, ok := s.item(); !ok || s.rest == "" || s.rest[0] != ' ' && s.rest[0] != ')' {
			return false
		}
	}
}

// bareItem reads a value without parameters.
func (s *scanner) bareItem() (Item, bool) {
	switch {
	case s.skip(':'):
		return s.byteSequence()
	case s.skip('?'):
		one, zero := s.skip('1'), s.skip('0')
		return Item{Kind: IsBoolean, Boolean: one}, one != zero
	case s.skip('"'):
		return Item{}, s.quoted(`\`)
	case strings.HasPrefix(s.rest, `%"`):
		s.rest = s.rest[2:]
		return Item{}, s.quoted("")
	case s.skip('@'): // a date
		s.skip('-')
		item, ok := s.number()
		return Item{}, ok && item.Kind == IsInteger
	case s.skip('-'):
		_, ok := s.number()
		return Item{}, ok
	case s.rest != "" && ascii.IsDigit(s.rest[0]):
		return s.number()
	case s.rest != "" && (ascii.IsLower(s.rest[0]|0x20) || s.rest[0] == '*'):
		s.take(isTokenByte)
		return Item{}, true
	}
	return Item{}, false
}

// number reads an integer of at most 15 digits, leading zeros included, or a decimal
// with at most 12 digits before the point and 3 after it.
func (s *scanner) number() (Item, bool) {
	const digits, before, after = 15, 12, 3
	whole := s.take(ascii.IsDigit)
	if whole == "" || len(whole) > digits {
		return Item{}, false
	}
	if s.skip('.') {
		fraction := s.take(ascii.IsDigit)
		return Item{}, len(whole) <= before && fraction != "" && len(fraction) <= after
	}
	n, err := strconv.ParseInt(whole, 10, 64)
	return Item{Kind: IsInteger, Integer: n}, err == nil
}

// byteSequence reads base64 up to the closing colon. Its padding may be missing.
func (s *scanner) byteSequence() (Item, bool) {
	encoded, rest, closed := strings.Cut(s.rest, ":")
	s.rest = rest
	encoded = strings.TrimRight(encoded, "=")
	return Item{Kind: IsBytes, Encoded: encoded}, closed && isBase64(encoded)
}

// isBase64 reports whether s is valid base64 without padding.
func isBase64(s string) bool {
	for i := range len(s) {
		if c := s[i]; !ascii.IsLower(c|0x20) && !ascii.IsDigit(c) && c != '+' && c != '/' {
			return false
		}
	}
	return len(s)%4 != 1
}

// quoted reads a string up to its closing quote. If escape is not empty, only escape or
// a quote may follow it.
func (s *scanner) quoted(escape string) bool {
	for s.rest != "" {
		c := s.rest[0]
		s.rest = s.rest[1:]
		switch {
		case c == '"':
			return true
		case c < ' ' || c >= 0x7f:
			return false
		case escape != "" && c == escape[0] && !s.skip('"') && !s.skip(c):
			return false
		}
	}
	return false
}
