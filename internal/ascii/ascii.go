// Package ascii has the classes of bytes in the grammars of HTTP.
package ascii

import "strings"

// IsLower reports whether c is a letter in lower case.
func IsLower(c byte) bool { return 'a' <= c && c <= 'z' }

// IsDigit reports whether c is a decimal digit.
func IsDigit(c byte) bool { return '0' <= c && c <= '9' }

// IsTokenByte reports whether c may stand in a token (RFC 9110, section 5.6.2).
func IsTokenByte(c byte) bool {
	return IsLower(c|0x20) || IsDigit(c) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
