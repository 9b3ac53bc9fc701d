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

// Error is what the service has answered. Code is its name for it
// (NoSuchKey), or "" if the answer had none, as the one to HEAD.
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

// Unwrap returns what the client's library has told.
func (e *Error) Unwrap() error { return e.Err }

var (
	// ErrNoCredentials is what a Client's error matches that has nothing to
	// sign calls with.
	ErrNoCredentials = errors.New("no credentials are found")
	// ErrNotS3 is what a Client's error matches if an answer of success is not
	// what S3 answers.
	ErrNotS3 = errors.New("the answer is not one of S3")
)

// hasStatus tells whether the service has answered with one of these.
func hasStatus(err error, status ...int) bool {
	var e *Error
	return errors.As(err, &e) && slices.Contains(status, e.Status)
}

// isMissing tells whether there is no such object, upload or bucket. Services
// disagree about the names.
func isMissing(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}

// isRefusedCondition tells whether a condition of the call did not hold.
func isRefusedCondition(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Status == http.StatusPreconditionFailed || e.Code == "ConditionalRequestConflict")
}

// isTransient tells whether the same call may succeed a moment later.
func isTransient(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return true // the network
	}
	switch e.Code {
	case "SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "Throttling", "ThrottlingException",
		"TooManyRequests", "OperationAborted", "ConditionalRequestConflict",
		"ExpiredToken", "ExpiredTokenException": // a client may have new credentials by then
		return true
	}
	return e.Status >= 500 && e.Status != http.StatusNotImplemented || e.Status == http.StatusTooManyRequests ||
		e.Status == http.StatusRequestTimeout
}

// isMultipartGone tells whether the service has no such multipart upload, or not those
// parts of it. It has to say so itself: a proxy that has lost its service
// answers 404, too, and bytes would be given up that are all there.
func isMultipartGone(err error) bool {
	var e *Error
	return errors.As(err, &e) && slices.Contains([]string{"NoSuchUpload", "NoSuchKey", "InvalidPart"}, e.Code)
}

// isUploadPartGone tells whether a part could not be stored because there is no
// such multipart upload.
func isUploadPartGone(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Operation == "UploadPart" && isMultipartGone(err)
}

// Unreachable reports whether an error of a Client or of Open only says that the
// service does not answer, or not for now: it may be starting, or the network may.
// What an operator has to mend (credentials, permissions, the name of the bucket,
// a certificate) is not that.
func Unreachable(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		switch e.Code {
		case "ExpiredToken", "ExpiredTokenException": // no new ones come by themselves while nothing runs
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

// isWrongTLS reports whether the two sides speak, and cannot agree on TLS.
func isWrongTLS(err error) bool {
	var untrusted *tls.CertificateVerificationError
	var noTLS tls.RecordHeaderError
	return errors.As(err, &untrusted) || errors.As(err, &noTLS) || errors.Is(err, http.ErrSchemeMismatch)
}
