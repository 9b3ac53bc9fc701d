package s3server

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// byteRange is a range of an object.
type byteRange struct{ offset, size int64 }

// readRange returns the range that a Range header selects from size bytes. ok
// is false if there is no header, or one that is ignored because it is
// malformed or selects several ranges.
func readRange(header string, size int64) (selected byteRange, ok bool, err error) {
	first, last, ok := parseRange(header)
	if !ok {
		return byteRange{0, size}, false, nil
	}
	if first < 0 { // the last bytes
		first, last = max(0, size-last), size-1
	}
	if first >= size {
		return byteRange{}, false, fail(http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "the range cannot be satisfied")
	}
	last = min(last, size-1)
	return byteRange{first, last - first + 1}, true, nil
}

// parseRange reads bytes=first-last. If there is no last, it is as large as
// possible; for the last n bytes, first is -1 and last is n.
func parseRange(header string) (first, last int64, ok bool) {
	spec, ok := strings.CutPrefix(header, "bytes=")
	from, to, dash := strings.Cut(spec, "-")
	if !ok || !dash {
		return 0, 0, false
	}
	first, last = -1, 1<<62
	var err error
	if from != "" {
		first, err = parseOffset(from)
	}
	if err == nil && (to != "" || from == "") {
		last, err = parseOffset(to)
	}
	return first, last, err == nil && (first < 0 || first <= last)
}

// parseOffset accepts only digits.
func parseOffset(digits string) (int64, error) {
	n, err := strconv.ParseUint(digits, 10, 62)
	return int64(n), err
}

// copyRange returns the range that X-Amz-Copy-Source-Range selects. It must be
// within the object.
func copyRange(header string, size int64) (byteRange, error) {
	if header == "" {
		return byteRange{0, size}, nil
	}
	first, last, ok := parseRange(header)
	if !ok || first < 0 || last == 1<<62 {
		return byteRange{}, invalid("InvalidArgument", "x-amz-copy-source-range must be bytes=first-last")
	}
	if last >= size {
		return byteRange{}, invalid("InvalidRange", "the range is not within the object")
	}
	return byteRange{first, last - first + 1}, nil
}

func (r byteRange) contentRange(size int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", r.offset, r.offset+r.size-1, size)
}
