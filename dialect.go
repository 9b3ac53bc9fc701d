package tusd

import (
	"net/http"
)

// dialect is the protocol that one request speaks. It reads requests and writes
// answers. It does not use a store: the engine executes the operations.
//
// To add a dialect, implement this interface in a file of its own and let
// chooseDialect recognise its mark.
type dialect interface {
	// name returns the value for records and for statusFor.
	name() Dialect
	// declared reports whether the request has the mark of the dialect.
	declared() bool
	// begin sets the header fields that every answer has, errors included.
	begin(x *exchange)

	// readCreation reads the header of a POST and sets the body of op.
	readCreation(x *exchange, op *operation) (creationRequest, error)
	// writeCreation answers a creation. It returns the error that remains to be
	// answered.
	writeCreation(x *exchange, req *creationRequest, res operationResult, err error) error
	// readAppend reads the header of a PATCH and sets the body of op.
	readAppend(x *exchange, op *operation) (appendRequest, error)
	// writeAppend answers an append. It returns the error that remains to be
	// answered.
	writeAppend(x *exchange, req appendRequest, res operationResult, err error) error
	// checkStatus and checkTermination return an error if the header of such a
	// request is invalid.
	checkStatus(x *exchange) error
	checkTermination(x *exchange) error
	// writeStatus answers a request for the status of an upload.
	writeStatus(x *exchange, info FileInfo) error
	// getReturnsStatus reports whether GET of an incomplete upload returns its
	// status.
	getReturnsStatus() bool
	// setContentFields sets the header fields that the dialect adds to a download.
	setContentFields(x *exchange, info FileInfo)
	// writeError returns the status and the content of the answer to an error, and
	// sets the header fields that the dialect adds to it.
	writeError(x *exchange, e *Error) (status int, contentType, content string)
}

// chooseDialect sets the dialect by the mark of the request. HEAD, GET and DELETE
// need no mark: their dialect is then undeclared, and the answer depends on the
// dialect of the upload.
func (x *exchange) chooseDialect() error {
	switch versions := x.r.Header["Tus-Resumable"]; {
	case len(versions) == 1 && versions[0] == tusVersion:
		x.setDialect(tusDialect{})
		return nil
	case len(versions) > 0:
		return ErrUnsupportedVersion
	case !x.h.engine.config.DisableIETF && hasIETFMark(x.r):
		x.setDialect(ietfDialectOf(x.r))
		return nil
	}
	if x.method == http.MethodHead || x.method == http.MethodGet || x.method == http.MethodDelete {
		return nil
	}
	return ErrUnsupportedVersion
}

// setDialect makes d the dialect of the exchange.
func (x *exchange) setDialect(d dialect) {
	x.dialect = d
	d.begin(x)
}

// undeclared is the dialect of a request without a mark. It is answered in tus 1.0,
// unless the upload was created in another dialect.
type undeclared struct{ tusDialect }

func (undeclared) declared() bool { return false }
