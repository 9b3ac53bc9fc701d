package tusd

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
)

// Callbacks are functions of the embedding program that are called before
// something happens.
//
// A callback refuses by returning an *Error: ErrUploadRejected,
// ErrTerminationRejected, ErrAccessDenied, or in PreAccess ErrNotFound, which does
// not tell that the upload exists. Error.Refuse sets another status, body or
// header. An error that is no *Error is transient: nothing has happened, and the
// client should retry. A panic counts as such an error.
//
// ctx has the values of the request's context, such as those of a middleware that
// authenticates. It ends Config.GracePeriod after the client has disconnected, for
// PreAccess at once. For PreFinish, which belongs to no client, it may have no
// values, and does not end with the client.
//
// Callbacks may be called concurrently. For one upload, two never run at the
// same time in the Scope of the locker, except PreAccess and PreCreate: two
// calls of PreCreate may choose the same id.
type Callbacks struct {
	// PreAccess is called before an upload is locked or loaded, so the upload
	// may not exist: for HEAD, PATCH, GET and DELETE, and for each partial
	// upload that a final names; if a POST is repeated and gets the final of an
	// earlier one, also for that. A creation has no pre-access, because nothing
	// exists that could be accessed: PreCreate is its other half. A program that
	// authorizes requests needs both.
	PreAccess func(ctx context.Context, event Event) error
	// PreCreate is called before a new upload is stored, for final uploads
	// after PreAccess for each of their partials. It authorizes creations, and
	// is also called for a repeated POST that gets the final of an earlier one:
	// then its changes have no effect.
	PreCreate func(ctx context.Context, event Event) (HTTPResponse, FileInfoChanges, error)
	// PreFinish is called when all bytes of an upload are stored that is not
	// partial, or with Config.PartialFinish of any. A refusal fails the upload permanently, with that answer. An
	// upload finishes once, but PreFinish may be called again after a transient
	// error of its own or of the store, and after a crash, even if it had agreed.
	PreFinish func(ctx context.Context, event Event) (HTTPResponse, error)
	// PreTerminate is called before a client's DELETE removes an upload.
	PreTerminate func(ctx context.Context, event Event) (HTTPResponse, error)
}

// guard calls code that may run a callback, an event sink or a store. A panic becomes a
// transient error: the caller can release its locks, and no other request ends.
func guard(call func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = ErrInternal.With(fmt.Errorf("panic: %v\n%s", r, debug.Stack()))
		}
	}()
	return call()
}

// consult calls a callback that may change the answer. A status that HTTP does not
// have, or that does not end a request (1xx), is a transient error.
func consult(callback func() (HTTPResponse, error)) (response HTTPResponse, err error) {
	err = guard(func() (err error) {
		response, err = callback()
		return err
	})
	status := response.StatusCode
	if err != nil {
		status = asError(err).Response.StatusCode
	}
	if !isFinalStatus(status) {
		response = HTTPResponse{}
		err = ErrInternal.With(fmt.Errorf("a callback answers with status %d, which no answer can have", status))
	}
	return response, err
}

// isProtocolField reports whether only this package sets a header field: the protocols, CORS and
// HTTP itself depend on it.
func isProtocolField(name string) bool {
	name = http.CanonicalHeaderKey(name)
	for _, prefix := range []string{"Upload-", "Tus-", "Access-Control-", "Proxy-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	switch name {
	case "Accept-Patch", "Accept-Ranges", "Allow", "Connection", "Content-Digest", "Content-Encoding", "Content-Length", "Content-Range",
		"Date", "Keep-Alive", "Location", "Repr-Digest", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Vary", "X-Content-Type-Options", "X-Request-Id":
		return true
	}
	return false
}

// printable returns the value of a header field without control characters, for which proxies
// refuse the whole answer.
func printable(value string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return ' '
		}
		return r
	}, value)
}

// isFinalStatus reports whether an answer can have this status, or 0 for the usual one.
func isFinalStatus(status int) bool {
	return status == 0 || status >= http.StatusOK && status <= 599
}

// ownTexts returns a copy of m that owns its strings. Strings of a callback may be
// slices of something large, which they would keep in memory.
func ownTexts(m map[string]string) map[string]string {
	if m == nil {
		return nil
	}
	owned := make(map[string]string, len(m))
	for name, value := range m {
		owned[strings.Clone(name)] = strings.Clone(value)
	}
	return owned
}
