package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// printable returns a text that changes nothing on a terminal but the line that it is in:
// control characters, escape sequences, marks that change the direction of text, and bytes
// that are no UTF-8 are escaped. File names and owners come from clients.
func printable(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
		text = text[n:]
	}
	return b.String()
}

// printableLines is printable for a text of several lines.
func printableLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = printable(line)
	}
	return strings.Join(lines, "\n")
}

// printableJSON returns JSON with the same value, and escapes for what would have an effect
// on a terminal.
func printableJSON(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case strconv.IsPrint(r), r == '\n':
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		}
	}
	return b.String()
}

// maxText is how many characters of a text of a client a table shows.
const maxText = 200

// cutText returns the beginning of a text that is too long for a table, with an ellipsis.
func cutText(text string) string {
	n := 0
	for i := range text {
		if n++; n > maxText {
			return text[:i] + "…"
		}
	}
	return text
}

// counted returns a number of things, like 1 upload and 2 uploads.
func counted[N int | int64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// longSize returns a number of bytes for a sentence, like 1.5 GiB.
func longSize(n int64) string {
	if n < 1024 {
		return counted(n, "byte")
	}
	short := shortSize(n)
	return short[:len(short)-1] + " " + short[len(short)-1:] + "iB"
}

// shortDuration returns a duration in the largest unit that it has at least one of, like 3d.
func shortDuration(d time.Duration) string {
	for _, unit := range []struct {
		name string
		is   time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}} {
		if d >= unit.is {
			return fmt.Sprintf("%d%s", d/unit.is, unit.name)
		}
	}
	return fmt.Sprintf("%ds", max(0, d/time.Second))
}

// shortSize returns a number of bytes in the largest unit that it has at least one of, like
// 1.5G. Units are powers of 1024, as in flags.
func shortSize(n int64) string {
	if n < 0 {
		return "?"
	}
	size, unit := float64(n), ""
	for _, next := range []string{"K", "M", "G", "T", "P", "E"} {
		if size < 1024 {
			break
		}
		size, unit = size/1024, next
	}
	if unit == "" || size >= 100 {
		return fmt.Sprintf("%.0f%s", size, unit)
	}
	return fmt.Sprintf("%.1f%s", size, unit)
}
