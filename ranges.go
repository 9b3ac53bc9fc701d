package tusd

import (
	"maps"
	"math"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/tus/tusd/internal/ascii"
)

// A store serves each range that it is asked for on its own: a seek and a part
// of the answer, in an object store a request. Very many ranges, tiny or
// overlapping, are an attack (RFC 9110, section 14.2).
const (
	// maxRanges is how many a store is asked for at once.
	maxRanges = 32
	// partOverhead is about what a part of an answer costs beside its bytes:
	// ranges that are nearer to each other become one (section 15.3.7.2).
	partOverhead = 128

	longestDate    = 64
	longestIfRange = 1 << 10
)

// contentRequest is the request as the store gets it: with few ranges, which only
// a GET has, and without dates that are none, which net/http tries to parse at
// length.
func (x *exchange) contentRequest(size int64) *http.Request {
	var edited http.Header
	set := func(name, value string) {
		if edited == nil {
			edited = maps.Clone(x.r.Header)
		}
		if edited[name] = []string{value}; value == "" {
			delete(edited, name)
		}
	}
	for _, name := range []string{"If-Modified-Since", "If-Unmodified-Since"} {
		if len(x.r.Header.Get(name)) > longestDate {
			set(name, "")
		}
	}
	field := x.r.Header.Get("Range")
	switch ranges := plainRanges(field, size); {
	case field == "":
	case x.method != http.MethodGet || len(x.r.Header.Get("If-Range")) > longestIfRange: // it has no meaning, or the validator matches nothing
		set("If-Range", "")
		set("Range", "")
	case ranges != field:
		set("Range", ranges)
	}
	if edited == nil {
		return x.r
	}
	r := x.r.WithContext(x.r.Context()) // a copy
	r.Header = edited
	return r
}

// plainRanges returns a Range field that says the same as field and that net/http
// reads rightly, with at most maxRanges ranges: many become one where they overlap
// or nearly touch. "" says nothing: the unit is unknown, and so the field is to be
// ignored (RFC 9110, section 14.2). A field that names no byte, or too many ranges,
// becomes one that cannot be satisfied, so that the answer is 416.
func plainRanges(field string, size int64) string {
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
		return "bytes=" + formatInt(size) + "-"
	}
	return spans.String()
}

// span is what a range means: bytes from start up to end, end not included.
type span struct{ start, end int64 }

// parseSpan reads one range. One that names no byte is empty. Positions may be
// larger than any number that is known here.
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

// parsePosition reads a number of digits. One that is too large is the largest.
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

// spans are what a Range field means. They are disjoint, and not near each other,
// unless apart.
type spans struct {
	apart bool // each as it was named
	list  [maxRanges]span
	n     int
}

// add adds one, which takes up those that it overlaps or nearly touches. It
// reports whether there is room.
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

// String is the Range field that names them.
func (s *spans) String() string {
	var b strings.Builder
	b.WriteString("bytes=")
	for i, a := range s.list[:s.n] {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(formatInt(a.start) + "-" + formatInt(a.end-1))
	}
	return b.String()
}
