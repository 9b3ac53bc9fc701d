package tusd

import (
	"cmp"
	"context"
)

// operation is what an operation knows of the request it serves.
type operation struct {
	ctx     context.Context // ends when the client has gone or the handler returns
	from    requestDescriber
	dialect Dialect
	body    *body // nil: no content

	admitted   string              // the upload that the request was last allowed to use
	maxContent int64               // of this request, in bytes; 0: no limit
	onCreated  func(info FileInfo) // told when the upload exists and before its content is read; may be nil
	onStored   func(offset int64)  // told now and then what is stored while content is read; may be nil
}

// requestDescriber describes the request for an event, if somebody wants one.
type requestDescriber interface {
	request() HTTPRequest
}

// operationResult is what an operation did. It is valid beside an error, too, as far
// as it went.
type operationResult struct {
	info     *FileInfo    // nil: there is no upload, or nothing is known of it
	response HTTPResponse // what callbacks want changed in the answer
}

// exists tells whether the upload exists, as far as is known.
func (r operationResult) exists() bool { return r.info != nil && r.info.ID != "" }

// merge adds what a later callback wants changed.
func (r *operationResult) merge(later operationResult) {
	if later.exists() {
		r.info = later.info
	}
	r.response = mergeResponses(r.response, later.response)
}

// mergeResponses lets the fields that are set in b win.
func mergeResponses(a, b HTTPResponse) HTTPResponse {
	a.StatusCode = cmp.Or(b.StatusCode, a.StatusCode)
	a.Body = cmp.Or(b.Body, a.Body)
	if len(b.Header) > 0 {
		header := make(map[string]string, len(a.Header)+len(b.Header))
		for _, from := range []map[string]string{a.Header, b.Header} {
			for name, value := range from {
				header[name] = value
			}
		}
		a.Header = header
	}
	return a
}
