package s3server

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
)

// errGone tells that a client has ended its request before its body.
var errGone = errors.New("s3server: the client has gone")

// failure is an answer that is an error.
type failure struct {
	XMLName  xml.Name `xml:"Error"`
	Status   int      `xml:"-"`
	Code     string
	Message  string
	Resource string
}

func (f *failure) Error() string {
	return fmt.Sprintf("s3server: %s (status %d): %s", f.Code, f.Status, f.Message)
}

func fail(status int, code, message string) error {
	return &failure{Status: status, Code: code, Message: message}
}

// invalid is for what a client must not ask for.
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

// failureAnswer makes an answer of an error. What is no failure is a mistake of
// this package.
func failureAnswer(q *query, err error) *answer {
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{Status: http.StatusInternalServerError, Code: "InternalError", Message: err.Error()}
	}
	if q.method == http.MethodHead || f.Status == http.StatusNotModified {
		return &answer{status: f.Status, header: make(http.Header)}
	}
	told := *f
	told.Resource = q.path
	return xmlAnswer(f.Status, told)
}
