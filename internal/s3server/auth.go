package s3server

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	timeFormat = "20060102T150405Z" // of X-Amz-Date
	maxSkew    = 15 * time.Minute
	maxExpires = 7 * 24 * time.Hour
)

var errForeign = fail(http.StatusForbidden, "InvalidAccessKeyId", "the access key is not known")

// isForeign reports whether a call is signed with another access key.
func (s *Server) isForeign(req *request) bool {
	credential := req.params.Get("X-Amz-Credential")
	if signature, ok := strings.CutPrefix(req.header.Get("Authorization"), algorithm+" "); ok {
		credential = field(signature, "Credential")
	}
	key, _, found := strings.Cut(credential, "/")
	return found && key != s.options.AccessKey
}

// authorize checks that a call is signed, and the time of the signature.
func (s *Server) authorize(req *request) error {
	if req.params.Has("X-Amz-Algorithm") {
		return s.authorizePresigned(req)
	}
	signature, ok := strings.CutPrefix(req.header.Get("Authorization"), algorithm+" ")
	if !ok {
		return fail(http.StatusForbidden, "AccessDenied", "the request is not signed")
	}
	if err := checkCredential(field(signature, "Credential")); err != nil {
		return err
	}
	signed, err := time.Parse(timeFormat, req.header.Get("X-Amz-Date"))
	if err != nil {
		return fail(http.StatusForbidden, "AccessDenied", "the request has no valid X-Amz-Date")
	}
	if s.options.Now().Sub(signed).Abs() > maxSkew {
		return fail(http.StatusForbidden, "RequestTimeTooSkewed", "the clocks of client and server differ")
	}
	return nil
}

// authorizePresigned checks a request that is signed in its URL, which is valid
// for a time.
func (s *Server) authorizePresigned(req *request) error {
	if req.params.Get("X-Amz-Algorithm") != algorithm || req.params.Get("X-Amz-Signature") == "" {
		return invalid("AuthorizationQueryParametersError", "the signature is incomplete")
	}
	if err := checkCredential(req.params.Get("X-Amz-Credential")); err != nil {
		return err
	}
	signed, err := time.Parse(timeFormat, req.params.Get("X-Amz-Date"))
	seconds, bad := strconv.Atoi(req.params.Get("X-Amz-Expires"))
	expires := time.Duration(seconds) * time.Second
	if err != nil || bad != nil || expires < time.Second || expires > maxExpires {
		return invalid("AuthorizationQueryParametersError", "the time of the signature is not valid")
	}
	if s.options.Now().After(signed.Add(expires)) {
		return fail(http.StatusForbidden, "AccessDenied", "request has expired")
	}
	return nil
}

// checkCredential checks the form of a credential: key/day/region/s3/aws4_request.
func checkCredential(credential string) error {
	parts := strings.Split(credential, "/")
	if len(parts) != 5 || parts[3] != "s3" || parts[4] != "aws4_request" {
		return invalid("AuthorizationHeaderMalformed", "the credential is malformed")
	}
	return nil
}

// field returns the value of name in "a=1, b=2".
func field(list, name string) string {
	for item := range strings.SplitSeq(list, ",") {
		if value, ok := strings.CutPrefix(strings.TrimSpace(item), name+"="); ok {
			return value
		}
	}
	return ""
}
