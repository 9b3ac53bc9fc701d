// Package byteranges reads the Range field of HTTP (RFC 9110, section 14.2), and
// reduces the number of its ranges.
package byteranges

import (
	"math"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/tus/tusd/internal/ascii"
)

// A store serves each range separately: it seeks, or sends a request to an object
// store, and the answer has a part for each range. Very many ranges, tiny or
// overlapping, are an attack (RFC 9110, section 14.2).
const (
	// maxRanges limits the number of ranges of one request to a store.
	maxRanges = 32
	// partOverhead is the approximate size of a part of an answer in addition to its
	// content. Ranges that are nearer to each other than this are merged (section
	// 15.3.7.2).
	partOverhead = 128
)

// Simplify returns a Range field that means the same as field for content of size
// bytes, that net/http reads correctly, and that has at most 32 ranges: ranges that
// overlap or nearly touch are merged. It returns "" if the unit is unknown, since such
// a field is to be ignored (RFC 9110, section 14.2). If a field names no byte, or too
// many ranges, the result cannot be satisfied, so that the answer is 416.
func Simplify(field string, size int64) string {
	unit, list, ok := strings.Cut(field, "=")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return ""
	}
	spans := spans{apart: strings.Count(list, ",") < maxRanges}
	for spec := range strings.SplitSeq(list, ",") {
		if spec = textproto.TrimString(spec); spec == "" {
			continue
		}
		s, ok := parseSpan(spec, size)
		if !ok || !spans.add(s) {
			spans.n = 0
			break
		}
	}
	if spans.n == 0 {
		return "bytes=" + format(size) + "-"
	}
	return spans.String()
}

// span is the meaning of a range: the bytes from start up to end, end not included.
type span struct{ start, end int64 }

// parseSpan reads one range. A range that names no byte is an empty span. Positions may
// be larger than an int64.
func parseSpan(s string, size int64) (span, bool) {
	first, last, ok := strings.Cut(s, "-")
	first, last = textproto.TrimString(first), textproto.TrimString(last)
	if !ok || first == "" && last == "" {
		return span{}, false
	}
	if first == "" {
		n, ok := parsePosition(last)
		return span{size - min(n, size), size}, ok
	}
	start, ok := parsePosition(first)
	if !ok {
		return span{}, false
	}
	if last == "" {
		return span{min(start, size), size}, true
	}
	end, ok := parsePosition(last)
	if !ok || end < start {
		return span{}, false
	}
	return span{min(start, size), min(end, size-1) + 1}, true
}

// parsePosition reads digits. A number that is too large becomes the largest int64.
func parsePosition(s string) (n int64, ok bool) {
	if n, err := strconv.ParseUint(s, 10, 63); err == nil {
		return int64(n), true
	}
	for i := range len(s) {
		if !ascii.IsDigit(s[i]) {
			return 0, false
		}
	}
	return math.MaxInt64, s != ""
}

// spans are the ranges of a field. Unless apart is set, they do not overlap or nearly
// touch.
type spans struct {
	apart bool // spans are not merged
	list  [maxRanges]span
	n     int
}

// add adds a span and merges it with those that it overlaps or nearly touches. It
// reports false if there are too many.
func (s *spans) add(a span) bool {
	if a.start >= a.end {
		return true
	}
	for i := 0; i < s.n && !s.apart; i++ {
		if b := s.list[i]; a.start-partOverhead <= b.end && b.start-partOverhead <= a.end {
			a = span{min(a.start, b.start), max(a.end, b.end)}
			s.n--
			s.list[i] = s.list[s.n]
			i = -1 // it has grown
		}
	}
	if s.n == len(s.list) {
		return false
	}
	s.list[s.n] = a
	s.n++
	return true
}

// String returns the Range field that names the spans.
func (s *spans) String() string {
	var b strings.Builder
	b.WriteString("bytes=")
	for i, a := range s.list[:s.n] {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(format(a.start) + "-" + format(a.end-1))
	}
	return b.String()
}

func format(n int64) string { return strconv.FormatInt(n, 10) }
