package tusd

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// CORSConfig decides which origins browsers may use the server from, and how.
// The zero value allows every origin, without credentials. A request whose Origin is not
// allowed is refused with ErrOriginNotAllowed. Origins that is empty but not nil allows
// none.
type CORSConfig struct {
	Disable          bool           // no CORS headers at all; Origin is ignored
	AllowOrigin      *regexp.Regexp // must match somewhere in Origin; nil: every origin
	Origins          []string       // exact origins, like https://example.org; if set, AllowOrigin is ignored
	AllowCredentials bool
	AllowMethods     string // added to the built-in list, separated by commas
	AllowHeaders     string // the same
	ExposeHeaders    string // the same
	MaxAge           string // seconds; "": 86400
}

const (
	corsAllowHeaders = "Authorization, Origin, X-Requested-With, X-Request-ID, X-HTTP-Method-Override, Content-Type, " +
		"Upload-Length, Upload-Offset, Tus-Resumable, Upload-Metadata, Upload-Defer-Length, Upload-Concat, " +
		"Upload-Incomplete, Upload-Complete, Upload-Draft-Interop-Version, Upload-Checksum, Content-Disposition, Content-Encoding, " +
		"Content-Digest, Repr-Digest, Want-Repr-Digest"
	corsExposeHeaders = "Upload-Offset, Location, Upload-Length, Tus-Version, Tus-Resumable, Tus-Max-Size, Tus-Extension, " +
		"Upload-Metadata, Upload-Defer-Length, Upload-Concat, Upload-Incomplete, Upload-Complete, " +
		"Upload-Draft-Interop-Version, Upload-Limit, Upload-Expires, Accept-Patch, Tus-Checksum-Algorithm, Repr-Digest, Retry-After, X-Request-ID, " +
		"Accept-Ranges, Content-Disposition, Content-Range, ETag"
	corsMaxAge = "86400"

	exposedFields = "Access-Control-Expose-Headers"
)

// corsMethods lists the methods that the creation URL and the URLs of uploads
// allow, in the order of tusd v2.
func corsMethods(creation, upload string, put bool) string {
	var enabled []string
	for _, method := range []string{"POST", "HEAD", "PATCH", "OPTIONS", "GET", "DELETE", "PUT"} {
		switch {
		case method == http.MethodOptions, method == http.MethodPut && put,
			strings.Contains(creation, method), strings.Contains(upload, method):
			enabled = append(enabled, method)
		}
	}
	return strings.Join(enabled, ", ")
}

// apply sets the CORS headers of the answer to a request with this origin and
// method; methods are the allowed ones. Errors need the headers, too: without them
// a script cannot read the answer. OPTIONS gets the headers of a preflight and of a
// script's own request, since it may be either.
func (c *CORSConfig) apply(h http.Header, origin, method, methods string) error {
	if c.Disable {
		return nil
	}
	switch vary := h["Vary"]; {
	case len(vary) == 0:
		h["Vary"] = varyOrigin
	case &vary[0] == &varyOverride[0]:
		h["Vary"] = varyBoth
	default:
		h.Add("Vary", "Origin")
	}
	if origin == "" {
		return nil
	}
	if !c.allows(origin) {
		return ErrOriginNotAllowed
	}
	h.Set("Access-Control-Allow-Origin", origin)
	if c.AllowCredentials {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	h.Set(exposedFields, joinList(corsExposeHeaders, c.ExposeHeaders))
	if method != http.MethodOptions {
		return nil
	}
	h.Set("Access-Control-Allow-Methods", joinList(methods, c.AllowMethods))
	h.Set("Access-Control-Allow-Headers", joinList(corsAllowHeaders, c.AllowHeaders))
	maxAge := c.MaxAge
	setDefault(&maxAge, corsMaxAge)
	h.Set("Access-Control-Max-Age", maxAge)
	return nil
}

// allows reports whether scripts of origin may use the server.
func (c *CORSConfig) allows(origin string) bool {
	switch {
	case c.Origins != nil:
		return slices.Contains(c.Origins, origin)
	case c.AllowOrigin != nil:
		return c.AllowOrigin.MatchString(origin)
	}
	return true
}

// expose lets scripts of other origins read further fields of an answer, if they may read any.
func expose(h http.Header, names string) {
	if exposed := h.Get(exposedFields); exposed != "" {
		h.Set(exposedFields, joinList(exposed, names))
	}
}

func joinList(builtIn, more string) string {
	if more == "" {
		return builtIn
	}
	return builtIn + ", " + more
}
