package tusd

import (
	"net/http"
)

// dialect is a protocol of uploads, as one request speaks it: it reads requests
// and writes answers. It touches no store: what a request asks for is done by the
// engine.
//
// Adding one: implement this interface in a file of its own, and have
// chooseDialect recognise its mark.
type dialect interface {
	// name is the dialect in records and in the table of errors.
	name() Dialect
	// declared reports whether the request says that it speaks the dialect.
	declared() bool
	// begin sets the fields of the header that every answer has, errors included.
	begin(x *exchange)

	// readCreation reads a request for a new upload. Its content goes to c.
	readCreation(x *exchange, c *operation) (creationRequest, error)
	// writeCreation answers it. It returns err, or another error to answer.
	writeCreation(x *exchange, req creationRequest, res operationResult, err error) error
	// readAppend reads a request for more content. The content goes to c.
	readAppend(x *exchange, c *operation) (appendRequest, error)
	// writeAppend answers it. It returns err, or another error to answer.
	writeAppend(x *exchange, req appendRequest, res operationResult, err error) error
	// checkStatus and checkTermination refuse such requests for what their header
	// says.
	checkStatus(x *exchange) error
	checkTermination(x *exchange) error
	// writeStatus answers with the state of an upload.
	writeStatus(x *exchange, info FileInfo) error
	// getReturnsStatus reports whether GET of an incomplete upload is a request for its
	// status.
	getReturnsStatus() bool
	// setContentFields sets the fields of the header that the dialect adds to the
	// content of a complete upload.
	setContentFields(x *exchange, info FileInfo)
	// writeError returns the status and the content of the answer to an error, and
	// sets what else the dialect has to say about it.
	writeError(x *exchange, e *Error) (status int, contentType, content string)
}

// chooseDialect finds out which protocol the request speaks. HEAD, GET and
// DELETE need not say: then the dialect is undeclared, and what they mean depends
// on the upload.
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

// undeclared is the dialect of a request that carries no mark of any. Its answer
// is in that of tus 1.0, unless the upload was made in another one.
type undeclared struct{ tusDialect }

func (undeclared) declared() bool { return false }
