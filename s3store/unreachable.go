package s3store

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
)

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
