package tusd

import (
	"maps"
	"net/http"

	"github.com/tus/tusd/internal/byteranges"
)

// Longer fields are no dates, or match no validator.
const (
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
	switch ranges := byteranges.Simplify(field, size); {
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
