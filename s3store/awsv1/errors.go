package awsv1

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/tus/tusd/s3store"
)

// translate turns an error of the SDK into what s3store.Client promises: an
// *s3store.Error for an answer of the service, else an error in which errors.Is
// finds the end of ctx or the error of the network.
func translate(ctx context.Context, operation string, err error) error {
	var answer awserr.RequestFailure
	switch {
	case errors.As(err, &answer) && isRefusal(answer):
		return refusal(operation, answer)
	case ctx.Err() != nil:
		return fmt.Errorf("s3: %s: %w", operation, ctx.Err())
	default:
		return fmt.Errorf("s3: %s: %w", operation, cause(err))
	}
}

// cause returns why there is no answer that can be read.
func cause(err error) error {
	inner := innermost(err)
	var told awserr.Error
	var garbled *xml.SyntaxError
	switch {
	case errors.As(err, &told) && told.Code() == "NoCredentialProviders":
		return fmt.Errorf("%w: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role", s3store.ErrNoCredentials)
	case errors.As(inner, &garbled):
		return fmt.Errorf("%w: %w", s3store.ErrNotS3, inner)
	}
	return inner
}

// isRefusal reports whether the service has refused the call. If an answer of success cannot
// be read, the call may have been executed.
func isRefusal(answer awserr.RequestFailure) bool {
	return answer.StatusCode() >= 300 || answer.Code() != request.ErrCodeSerialization
}

// refusal translates the service's answer. An error inside an answer of success gets status
// 500: the service had already sent status 200 when it failed. The call can be repeated.
func refusal(operation string, answer awserr.RequestFailure) *s3store.Error {
	e := &s3store.Error{Operation: operation, Code: answer.Code(), Status: answer.StatusCode(), Err: answer}
	if e.Status < 300 {
		e.Status = http.StatusInternalServerError
	}
	if answer.Code() == request.ErrCodeSerialization { // a proxy's page, not the service's XML
		e.Code, e.Err = "", innermost(answer)
	}
	if operation == headObject { // the SDK has made a code of the status
		e.Code = ""
	}
	return e
}

// innermost unwraps an error of the SDK. The SDK's errors hide the cause from errors.Is, and
// some print the whole answer.
func innermost(err error) error {
	for {
		var wrapped awserr.Error
		if !errors.As(err, &wrapped) {
			return err
		}
		if wrapped.OrigErr() == nil {
			return errors.New(wrapped.Code() + ": " + wrapped.Message())
		}
		err = wrapped.OrigErr()
	}
}

// isNoSuchKey reports whether the answer says that the object does not exist, as
// opposed to the bucket.
func isNoSuchKey(err error) bool {
	var e *s3store.Error
	return errors.As(err, &e) && e.Code == s3.ErrCodeNoSuchKey
}

// unremoved joins the errors of single keys in an answer to DeleteObjects, whose
// status is success.
func unremoved(failed []*s3.Error) error {
	var errs []error
	for _, f := range failed {
		code := text(f.Code)
		if code == s3.ErrCodeNoSuchKey {
			continue
		}
		errs = append(errs, &s3store.Error{
			Operation: deleteObjects,
			Code:      code,
			Status:    http.StatusOK,
			Err:       fmt.Errorf("key %q: %s", text(f.Key), text(f.Message)),
		})
	}
	return errors.Join(errs...)
}

// errIncomplete means that an answer of success lacks a required value. It is not known
// whether the call was executed.
var errIncomplete = fmt.Errorf("%w: it is not complete", s3store.ErrNotS3)

// required returns a value that an answer must have.
func required(operation string, value *string) (string, error) {
	if text(value) == "" {
		return "", fmt.Errorf("s3: %s: %w", operation, errIncomplete)
	}
	return *value, nil
}

// text returns "" for nil.
func text(value *string) string {
	if value == nil {
		return ""
	}
	return *value
}
