package s3server

import (
	"net/http"
	"strings"
	"time"
)

// checkRead holds the conditions of a request against the object that it
// reads, in the order of RFC 9110. prefix is that of the headers' names.
func checkRead(header http.Header, prefix string, o *object) error {
	modified := o.modified.Truncate(time.Second)
	if match := header.Get(prefix + "If-Match"); match != "" {
		if !hasETag(match, o.etag) {
			return preconditionFailed()
		}
	} else if since, err := http.ParseTime(header.Get(prefix + "If-Unmodified-Since")); err == nil && modified.After(since) {
		return preconditionFailed()
	}
	if match := header.Get(prefix + "If-None-Match"); match != "" {
		if hasETag(match, o.etag) {
			return notModified(prefix)
		}
	} else if since, err := http.ParseTime(header.Get(prefix + "If-Modified-Since")); err == nil && !modified.After(since) {
		return notModified(prefix)
	}
	return nil
}

// notModified is the answer where nothing new is to be read. A copy cannot
// answer 304.
func notModified(prefix string) error {
	if prefix != "" {
		return preconditionFailed()
	}
	return fail(http.StatusNotModified, "NotModified", "")
}

// hasETag tells whether a list of ETags has one, or has all of them (*).
// Quotes may be missing.
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

// checkWrite holds the conditions of a request against what it would replace;
// nil: nothing. The caller has the lock of the state.
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
