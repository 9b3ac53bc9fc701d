package s3store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"
)

// Explain describes the usual cause of an error of a Client or of Open in a
// sentence for operators; "" if it is not known. The sentence contains no
// secrets.
func Explain(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.explain()
	}
	var noHost *net.DNSError
	var untrusted *tls.CertificateVerificationError
	var noTLS tls.RecordHeaderError
	switch {
	case errors.Is(err, ErrNoCredentials):
		return "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
	case errors.Is(err, ErrNotS3):
		return notS3
	case errors.As(err, &noHost):
		return fmt.Sprintf("the host name %s cannot be resolved", noHost.Name)
	case errors.As(err, &untrusted):
		return "the certificate of the endpoint is not trusted here"
	case errors.As(err, &noTLS), errors.Is(err, http.ErrSchemeMismatch):
		return "the endpoint speaks plain HTTP: its URL must begin with http://"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens at the endpoint"
	case errors.Is(err, context.DeadlineExceeded):
		return "the endpoint does not answer in time"
	}
	return ""
}

const notS3 = "the endpoint answers, but not as an S3 service does: its address is wrong, or a proxy answers"

func (e *Error) explain() string {
	switch e.Code {
	case "NoSuchBucket":
		return "the service has no bucket of that name"
	case "InvalidBucketName":
		return "that cannot be the name of a bucket"
	case "InvalidAccessKeyId", "XAdminUserNotFound":
		return "the service does not know the access key"
	case "SignatureDoesNotMatch":
		return "the secret key is not that of the access key"
	case "ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired":
		return "the credentials have expired, or their session token is wrong"
	case "RequestTimeTooSkewed", "RequestExpired":
		return fmt.Sprintf("the clock of this machine (%s) is too far from the service's", time.Now().UTC().Format(time.RFC3339))
	case "AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect", "BucketRegionError", "IllegalLocationConstraintException":
		return "the region is not that of the bucket" + e.regionHint()
	case "NotImplemented":
		return "the service does not know this operation, or a part of it"
	}
	switch {
	case e.Status == http.StatusForbidden:
		return "the credentials are not allowed to do this" + permissionFor(e.Operation)
	case e.Code == "" && e.Operation != "HeadObject":
		return notS3
	}
	return ""
}

// regionHint returns the service's message about a region, which names the
// right one.
func (e *Error) regionHint() string {
	var answer interface{ Message() string }
	if !errors.As(e.Err, &answer) || answer.Message() == "" {
		return ""
	}
	return " (" + answer.Message() + ")"
}

// permissionFor names the permission for an operation as policies do.
func permissionFor(operation string) string {
	action := map[string]string{
		"PutObject": "s3:PutObject", "CreateMultipartUpload": "s3:PutObject", "UploadPart": "s3:PutObject",
		"CompleteMultipartUpload": "s3:PutObject", "UploadPartCopy": "s3:PutObject and s3:GetObject",
		"GetObject": "s3:GetObject", "HeadObject": "s3:GetObject", "ListObjectsV2": "s3:ListBucket",
		"DeleteObject": "s3:DeleteObject", "DeleteObjects": "s3:DeleteObject",
		"AbortMultipartUpload": "s3:AbortMultipartUpload", "ListParts": "s3:ListMultipartUploadParts",
	}[operation]
	if action == "" {
		return ""
	}
	return " (" + action + ")"
}

// withExplanation puts the usual cause in front of an error.
func withExplanation(err error) error {
	if sentence := Explain(err); sentence != "" {
		return fmt.Errorf("%s: %w", sentence, err)
	}
	return err
}
