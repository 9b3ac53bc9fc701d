package tusd

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
)

// Structured fields (RFC 9651), as far as the IETF draft and RFC 9530 use
// them: items that are integers or booleans, and dictionaries of byte
// sequences or integers. Values of other types are parsed and mean nothing. A
// field that does not parse is as if it were absent.

// fieldInteger reads an Item that is an integer of zero or more.
func fieldInteger(header http.Header, name string) (int64, bool) {
	item, ok := fieldItem(header[name])
	return item.integer, ok && item.kind == integerValue
}

// fieldBool reads an Item that is a boolean.
func fieldBool(header http.Header, name string) (value, ok bool) {
	item, ok := fieldItem(header[name])
	return item.boolean, ok && item.kind == booleanValue
}

// fieldItem reads a field that stands in one line.
func fieldItem(values []string) (bareItem, bool) {
	if len(values) != 1 {
		return bareItem{}, false
	}
	s := fieldScanner{strings.Trim(values[0], " ")}
	item, ok := s.item()
	if !ok || s.rest != "" {
		return bareItem{}, false
	}
	return item, true
}

// fieldDictionary reads a dictionary and visits its entries, also those whose
// value means nothing here: the last of several entries with one key counts.
// ok is false, and what was visited does not count, if the field is absent or
// does not parse as a whole. Nothing is copied.
func fieldDictionary(values []string, visit func(key string, item bareItem)) (ok bool) {
	for i, value := range values {
		if i == 0 {
			value = strings.TrimLeft(value, " ")
		} else {
			value = strings.TrimLeft(value, " \t")
		}
		s := fieldScanner{value}
		for more := true; more; {
			key, item, ok := s.entry()
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

// fieldAlgorithms reads a dictionary by the names of the algorithms that are
// known here, and returns what it says of each, in their order: zero for
// nothing.
func fieldAlgorithms(values []string) (items [algorithmCount]bareItem) {
	ok := fieldDictionary(values, func(key string, item bareItem) {
		if i := fieldAlgorithmIndex(key); i >= 0 {
			items[i] = item
		}
	})
	if !ok {
		return [algorithmCount]bareItem{}
	}
	return items
}

// valueKind is the type of a bare item.
type valueKind int

const (
	otherValue valueKind = iota
	integerValue
	booleanValue
	bytesValue
)

// bareItem is a value. Which field holds it, if any, kind tells.
type bareItem struct {
	kind    valueKind
	integer int64
	boolean bool
	encoded string // base64 without padding, which decodes
}

// longestDigest is longer than any digest, in bytes.
const longestDigest = 69

// digest decodes a byte sequence that is to be compared with a digest. What is
// too long for any is cut: it is as different.
func (item bareItem) digest() []byte {
	encoded := item.encoded[:min(len(item.encoded), longestDigest/3*4)]
	decoded, _ := base64.RawStdEncoding.DecodeString(encoded)
	return decoded
}

// fieldScanner takes values from the front of rest.
type fieldScanner struct{ rest string }

// skip takes c if it comes next.
func (s *fieldScanner) skip(c byte) bool {
	if s.rest == "" || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// take takes bytes as long as they are in the set.
func (s *fieldScanner) take(in func(byte) bool) string {
	n := 0
	for n < len(s.rest) && in(s.rest[n]) {
		n++
	}
	taken := s.rest[:n]
	s.rest = s.rest[n:]
	return taken
}

func lowerAlpha(c byte) bool { return 'a' <= c && c <= 'z' }
func decimal(c byte) bool    { return '0' <= c && c <= '9' }
func keyByte(c byte) bool    { return lowerAlpha(c) || decimal(c) || strings.IndexByte("_-.*", c) >= 0 }
func tokenByte(c byte) bool {
	return lowerAlpha(c|0x20) || decimal(c) || strings.IndexByte("!#$%&'*+-.^_`|~:/", c) >= 0
}

// entry takes one entry of a dictionary.
func (s *fieldScanner) entry() (key string, item bareItem, ok bool) {
	if key, ok = s.key(); !ok {
		return "", item, false
	}
	switch {
	case !s.skip('='):
		item = bareItem{kind: booleanValue, boolean: true}
		ok = s.parameters()
	case s.skip('('):
		ok = s.innerList() && s.parameters()
	default:
		item, ok = s.item()
	}
	return key, item, ok
}

func (s *fieldScanner) key() (string, bool) {
	if s.rest == "" || !lowerAlpha(s.rest[0]) && s.rest[0] != '*' {
		return "", false
	}
	return s.take(keyByte), true
}

// item takes a value and its parameters.
func (s *fieldScanner) item() (bareItem, bool) {
	item, ok := s.bare()
	return item, ok && s.parameters()
}

// parameters takes parameters, which are legal and mean nothing here.
func (s *fieldScanner) parameters() bool {
	for s.skip(';') {
		s.rest = strings.TrimLeft(s.rest, " ")
		if _, ok := s.key(); !ok {
			return false
		}
		if s.skip('=') {
			if _, ok := s.bare(); !ok {
				return false
			}
		}
	}
	return true
}

// innerList takes what follows the opening parenthesis.
func (s *fieldScanner) innerList() bool {
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

// bare takes a value without parameters.
func (s *fieldScanner) bare() (bareItem, bool) {
	switch {
	case s.skip(':'):
		return s.byteSequence()
	case s.skip('?'):
		one, zero := s.skip('1'), s.skip('0')
		return bareItem{kind: booleanValue, boolean: one}, one != zero
	case s.skip('"'):
		return bareItem{}, s.quoted(`\`)
	case strings.HasPrefix(s.rest, `%"`):
		s.rest = s.rest[2:]
		return bareItem{}, s.quoted("")
	case s.skip('@'): // a date
		s.skip('-')
		item, ok := s.number()
		return bareItem{}, ok && item.kind == integerValue
	case s.skip('-'):
		_, ok := s.number()
		return bareItem{}, ok
	case s.rest != "" && decimal(s.rest[0]):
		return s.number()
	case s.rest != "" && (lowerAlpha(s.rest[0]|0x20) || s.rest[0] == '*'):
		s.take(tokenByte)
		return bareItem{}, true
	}
	return bareItem{}, false
}

// number takes an integer of at most 15 digits, leading zeros included, or a
// decimal of 12 and 3.
func (s *fieldScanner) number() (bareItem, bool) {
	const digits, before, after = 15, 12, 3
	whole := s.take(decimal)
	if whole == "" || len(whole) > digits {
		return bareItem{}, false
	}
	if s.skip('.') {
		fraction := s.take(decimal)
		return bareItem{}, len(whole) <= before && fraction != "" && len(fraction) <= after
	}
	n, err := strconv.ParseInt(whole, 10, 64)
	return bareItem{kind: integerValue, integer: n}, err == nil
}

// byteSequence takes base64 up to the closing colon. It may lack its padding.
func (s *fieldScanner) byteSequence() (bareItem, bool) {
	encoded, rest, closed := strings.Cut(s.rest, ":")
	s.rest = rest
	encoded = strings.TrimRight(encoded, "=")
	return bareItem{kind: bytesValue, encoded: encoded}, closed && isBase64(encoded)
}

// isBase64 reports whether s, which has no padding, decodes.
func isBase64(s string) bool {
	for i := range len(s) {
		if c := s[i]; !lowerAlpha(c|0x20) && !decimal(c) && c != '+' && c != '/' {
			return false
		}
	}
	return len(s)%4 != 1
}

// quoted takes a string up to its closing quote. After escape, if there is
// one, only itself and a quote can follow.
func (s *fieldScanner) quoted(escape string) bool {
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

// The plain fields of tus 1.0, which are bad if they do not parse.

// isMediaType compares Content-Type, parameters aside.
func isMediaType(header http.Header, want string) bool {
	value, _, err := single(header, "Content-Type", ErrInvalidContentType)
	media, _, _ := strings.Cut(value, ";")
	return err == nil && strings.EqualFold(strings.TrimSpace(media), want)
}

// single reads a field that may stand in a request once.
func single(header http.Header, name string, bad *Error) (value string, present bool, err error) {
	values := header[name]
	if len(values) > 1 {
		return "", false, bad.With(errors.New(name + " appears twice"))
	}
	if len(values) == 0 {
		return "", false, nil
	}
	return values[0], true, nil
}

func hasValue(header http.Header, name string) bool { return len(header[name]) > 0 }

// integer reads a field whose value is 1 to 19 digits, at most 2^63-1.
func integer(header http.Header, name string, bad *Error) (n int64, present bool, err error) {
	value, present, err := single(header, name, bad)
	if err != nil || !present {
		return 0, false, err
	}
	if n, err = parseInteger(value); err != nil {
		return 0, false, bad.With(err)
	}
	return n, true, nil
}

func parseInteger(s string) (int64, error) {
	const mostDigits = 19
	if s == "" || len(s) > mostDigits || strings.Trim(s, "0123456789") != "" {
		return 0, errors.New("not an integer")
	}
	return strconv.ParseInt(s, 10, 64)
}

func formatInt(n int64) string { return strconv.FormatInt(n, 10) }
