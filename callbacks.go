package tusd

import (
	"fmt"
	"net/http"
	"runtime/debug"
)

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
