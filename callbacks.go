package tusd

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
)

// Callbacks are asked before something happens, and may refuse it by
// returning an *Error: ErrUploadRejected, ErrTerminationRejected or
// ErrAccessDenied, with Refuse for another status, body or header. Any other
// error is trouble that passes: nothing has happened, the client comes back.
// A panic counts as such an error. ctx ends some time after the client has gone
// (Config.GracePeriod), for PreAccess at once, and for PreFinish, which belongs
// to no client, not at all. They may be called concurrently, for one upload
// never two at once but PreAccess.
type Callbacks struct {
	// PreAccess is asked before every request on an existing upload, before
	// its lock is taken: HEAD, PATCH, GET, DELETE, and each partial upload
	// that a final names.
	PreAccess func(ctx context.Context, event Event) error
	// PreCreate is asked before an upload is stored.
	PreCreate func(ctx context.Context, event Event) (HTTPResponse, FileInfoChanges, error)
	// PreFinish is asked when all bytes of an upload that is not partial are
	// stored. A refusal makes the upload fail for good, with that answer. It
	// may be asked again after a crash: an upload finishes once, but who
	// answered just before the crash is asked a second time.
	PreFinish func(ctx context.Context, event Event) (HTTPResponse, error)
	// PreTerminate is asked before an upload is removed by a client.
	PreTerminate func(ctx context.Context, event Event) (HTTPResponse, error)
}

// guard calls what may run a callback. A panic, whatever its value, becomes a
// transient error: no lock stays behind, and nothing else ends.
func guard(call func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = ErrInternal.With(fmt.Errorf("a callback panicked: %v\n%s", r, debug.Stack()))
		}
	}()
	return call()
}

// consult calls a callback that may answer. An answer with a status that HTTP does not
// have, or that would not end the request, is a failure of the callback.
func consult(callback func() (HTTPResponse, error)) (response HTTPResponse, err error) {
	err = guard(func() (err error) {
		response, err = callback()
		return err
	})
	status := response.StatusCode
	if err != nil {
		status = asError(err).Response.StatusCode
	}
	if status != 0 && (status < http.StatusOK || status > 599) {
		response = HTTPResponse{}
		err = ErrInternal.With(fmt.Errorf("a callback answers with status %d, which no answer can have", status))
	}
	return response, err
}

// ownTexts returns a copy of m that owns its texts. Callbacks may slice theirs out
// of something large.
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
