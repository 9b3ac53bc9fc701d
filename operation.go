package tusd

import (
	"cmp"
	"context"
)

// operation describes the request that an operation of the engine serves.
type operation struct {
	ctx     context.Context // ends when the client disconnects or the handler returns
	from    requestDescriber
	dialect Dialect
	body    *body // nil: no content

	admitted   string              // id of the upload that the request was last allowed to use
	maxContent int64               // of this request, in bytes; 0: no limit
	onCreated  func(info FileInfo) // called when the upload exists, before its content is read; may be nil
	onStored   func(offset int64)  // called repeatedly with the stored offset while content is read; may be nil
}

// requestDescriber describes the request for an event. It is called only if there is a
// receiver of the event.
type requestDescriber interface {
	request() HTTPRequest
}

// operationResult is the result of an operation. With an error, it describes what was
// done before the error.
type operationResult struct {
	info     *FileInfo    // nil: there is no upload, or nothing is known of it
	response HTTPResponse // changes of the answer by callbacks
}

// exists reports whether the upload is known to exist.
func (r operationResult) exists() bool { return r.info != nil && r.info.ID != "" }

// merge adds a later result, whose values take precedence.
func (r *operationResult) merge(later operationResult) {
	if later.exists() {
		r.info = later.info
	}
	r.response = mergeResponses(r.response, later.response)
}

// mergeResponses merges two responses. The fields that are set in b take precedence.
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
