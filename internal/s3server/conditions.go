package s3server

import (
	"net/http"
	"strings"
	"time"
)

// checkRead checks the conditions of a GET or HEAD against the object that it
// reads, in the order of RFC 9110.
func checkRead(header http.Header, o *object) error {
	modified := o.modified.Truncate(time.Second)
	if match := header.Get("If-Match"); match != "" {
		if !hasETag(match, o.etag) {
			return preconditionFailed()
		}
	} else if since, err := http.ParseTime(header.Get("If-Unmodified-Since")); err == nil && modified.After(since) {
		return preconditionFailed()
	}
	if match := header.Get("If-None-Match"); match != "" {
		if hasETag(match, o.etag) {
			return notModified()
		}
	} else if since, err := http.ParseTime(header.Get("If-Modified-Since")); err == nil && !modified.After(since) {
		return notModified()
	}
	return nil
}

func notModified() error { return fail(http.StatusNotModified, "NotModified", "") }

// hasETag reports whether a list of ETags contains one, or is "*". Quotes may
// be missing.
func hasETag(list, etag string) bool {
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		if item == "*" || unquoted(item) == unquoted(etag) {
			return true
		}
	}
	return false
}

func unquoted(etag string) string { return strings.Trim(etag, `"`) }

// checkWrite checks the conditions of a request against the object that it
// would replace; nil: there is none. The caller holds s.mu.
func (s *Server) checkWrite(header http.Header, replaced *object) error {
	quirks := s.options.Quirks
	match, noneMatch := header.Get("If-Match"), header.Get("If-None-Match")
	switch {
	case match != "" && quirks.NoIfMatch, noneMatch != "" && quirks.NoIfNoneMatch:
		return fail(http.StatusNotImplemented, "NotImplemented", "conditions of writes are not served here")
	case quirks.IgnoreConditions:
		return nil
	case noneMatch != "" && noneMatch != "*":
		return fail(http.StatusNotImplemented, "NotImplemented", "If-None-Match of a write can only be *")
	case noneMatch != "" && replaced != nil:
		return preconditionFailed()
	case match != "" && replaced == nil:
		return noSuchKey()
	case match != "" && (quirks.RefuseIfMatch || !hasETag(match, replaced.etag)):
		return preconditionFailed()
	}
	return nil
}
