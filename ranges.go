package tusd

import (
	"maps"
	"net/http"
	"net/textproto"
	"strings"
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

// contentRequest is the request as the store gets it: with few ranges, and
// without dates that are none, which net/http tries to parse at length.
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
	ranges, few := fewRanges(x.r.Header.Get("Range"), size)
	switch {
	case len(x.r.Header.Get("If-Range")) > longestIfRange: // it matches nothing
		set("If-Range", "")
		set("Range", "")
	case !few:
		set("Range", ranges)
	}
	if edited == nil {
		return x.r
	}
	r := x.r.WithContext(x.r.Context()) // a copy
	r.Header = edited
	return r
}

// fewRanges reports whether a Range field names few ranges. If not, it returns
// another one: with those that overlap or nearly touch as one, or, if that is
// not enough, one that cannot be satisfied, so that the answer is 416.
func fewRanges(field string, size int64) (other string, few bool) {
	list, ok := strings.CutPrefix(field, "bytes=")
	if !ok || strings.Count(list, ",") < maxRanges {
		return "", true
	}
	var spans spans
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
		return "bytes=" + formatInt(size) + "-", false
	}
	return spans.String(), false
}

// span is what a range means: bytes from start up to end, end not included.
type span struct{ start, end int64 }

// parseSpan reads one range. One that names no byte is empty.
func parseSpan(s string, size int64) (span, bool) {
	first, last, ok := strings.Cut(s, "-")
	first, last = textproto.TrimString(first), textproto.TrimString(last)
	if !ok || first == "" && last == "" {
		return span{}, false
	}
	if first == "" {
		n, err := parseInteger(last)
		return span{size - min(n, size), size}, err == nil
	}
	start, err := parseInteger(first)
	if err != nil {
		return span{}, false
	}
	if last == "" {
		return span{min(start, size), size}, true
	}
	end, err := parseInteger(last)
	if err != nil || end < start {
		return span{}, false
	}
	return span{min(start, size), min(end, size-1) + 1}, true
}

// spans are disjoint, and not near each other.
type spans struct {
	list [maxRanges]span
	n    int
}

// add adds one, which takes up those that it overlaps or nearly touches. It
// reports whether there is room.
func (s *spans) add(a span) bool {
	if a.start >= a.end {
		return true
	}
	for i := 0; i < s.n; i++ {
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
			b.WriteString(", ")
		}
		b.WriteString(formatInt(a.start) + "-" + formatInt(a.end-1))
	}
	return b.String()
}
