package s3server

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
)

// errClientGone means that a client has disconnected before the end of its
// body.
var errClientGone = errors.New("s3server: the client has disconnected")

// serviceError is an error in the answer of the service.
type serviceError struct {
	XMLName  xml.Name `xml:"Error"`
	Status   int      `xml:"-"`
	Code     string
	Message  string
	Resource string
}

func (f *serviceError) Error() string {
	return fmt.Sprintf("s3server: %s (status %d): %s", f.Code, f.Status, f.Message)
}

func fail(status int, code, message string) error {
	return &serviceError{Status: status, Code: code, Message: message}
}

// invalid returns an error for an invalid request.
func invalid(code, message string) error {
	return fail(http.StatusBadRequest, code, message)
}

func noSuchKey() error {
	return fail(http.StatusNotFound, "NoSuchKey", "the key does not exist")
}

func noSuchUpload() error {
	return fail(http.StatusNotFound, "NoSuchUpload", "the upload does not exist, or has been aborted or completed")
}

func preconditionFailed() error {
	return fail(http.StatusPreconditionFailed, "PreconditionFailed", "a condition of the request did not hold")
}

// errorAnswer returns the answer for an error. An error that is no serviceError
// is a bug of this package.
func errorAnswer(req *request, err error) *answer {
	var f *serviceError
	if !errors.As(err, &f) {
		f = &serviceError{Status: http.StatusInternalServerError, Code: "InternalError", Message: err.Error()}
	}
	if req.method == http.MethodHead || f.Status == http.StatusNotModified {
		return &answer{status: f.Status, header: make(http.Header)}
	}
	told := *f
	told.Resource = req.path
	return xmlAnswer(f.Status, told)
}
