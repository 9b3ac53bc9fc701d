package s3store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"syscall"
)

// Error is an error that the service has answered. Code is its name
// (NoSuchKey), or "" if the answer had none, as answers to HEAD.
type Error struct {
	Operation string // as in S3: PutObject
	Code      string
	Status    int // of HTTP
	Err       error
}

// Error returns operation, code and status, for the log.
func (e *Error) Error() string {
	return fmt.Sprintf("s3: %s: %s (status %d)", e.Operation, e.Code, e.Status)
}

// Unwrap returns the error of the client's library.
func (e *Error) Unwrap() error { return e.Err }

var (
	// ErrNoCredentials is matched by errors of a Client that has no credentials
	// to sign calls with.
	ErrNoCredentials = errors.New("no credentials are found")
	// ErrNotS3 is matched by errors of a Client about an answer of success that
	// is not an answer of S3.
	ErrNotS3 = errors.New("the answer is not one of S3")
)

// hasStatus reports whether the service has answered with one of these
// statuses.
func hasStatus(err error, status ...int) bool {
	var e *Error
	return errors.As(err, &e) && slices.Contains(status, e.Status)
}

// isMissing reports whether there is no such object, multipart upload or
// bucket. Services use different names for that.
func isMissing(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}

// isRefusedCondition reports whether a condition of the call did not hold.
func isRefusedCondition(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Status == http.StatusPreconditionFailed || e.Code == "ConditionalRequestConflict")
}

// isTransient reports whether the same call may succeed later.
func isTransient(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return true // the network
	}
	switch e.Code {
	case "SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "Throttling", "ThrottlingException",
		"TooManyRequests", "OperationAborted", "ConditionalRequestConflict",
		"ExpiredToken", "ExpiredTokenException": // the client may have new credentials by then
		return true
	}
	return e.Status >= 500 && e.Status != http.StatusNotImplemented || e.Status == http.StatusTooManyRequests ||
		e.Status == http.StatusRequestTimeout
}

// isMultipartGone reports whether the service has no such multipart upload, or
// lacks parts of it. The service itself must say so: a proxy that cannot reach
// it answers 404, too, and the upload must not fail for that.
func isMultipartGone(err error) bool {
	var e *Error
	return errors.As(err, &e) && slices.Contains([]string{"NoSuchUpload", "NoSuchKey", "InvalidPart"}, e.Code)
}

// isUploadPartGone reports whether a part could not be stored because there is
// no such multipart upload.
func isUploadPartGone(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Operation == "UploadPart" && isMultipartGone(err)
}

// Unreachable reports whether an error of a Client or of Open only means that
// the service does not answer, or not yet: it may be starting, or the network
// may be down. It does not include errors that an operator must correct:
// credentials, permissions, the name of the bucket, a certificate.
func Unreachable(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		switch e.Code {
		case "ExpiredToken", "ExpiredTokenException": // at the start nothing renews them
			return false
		}
		return isTransient(err)
	}
	if errors.Is(err, ErrNoCredentials) || errors.Is(err, ErrNotS3) || isWrongTLS(err) {
		return false
	}
	var network net.Error
	var system syscall.Errno
	return errors.As(err, &network) || errors.As(err, &system) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// isWrongTLS reports whether both sides respond, and cannot agree on TLS.
func isWrongTLS(err error) bool {
	var untrusted *tls.CertificateVerificationError
	var noTLS tls.RecordHeaderError
	return errors.As(err, &untrusted) || errors.As(err, &noTLS) || errors.Is(err, http.ErrSchemeMismatch)
}
