package tusd

import (
	"net/http"
	"time"
)

// The status and Retry-After of the answer to an error.

// Statuses are the HTTP status codes of an error, one for each dialect.
type Statuses struct {
	Tus, IETF int
}

func both(status int) Statuses { return Statuses{status, status} }

// transientStatus is for transient errors: tus clients get status, clients of the
// IETF draft always 503. ErrNoSpace and ErrQuotaExceeded have 507 for both.
func transientStatus(status int) Statuses { return Statuses{status, http.StatusServiceUnavailable} }

// retryAfter returns the Retry-After of a transient error. The default is short,
// because most transient errors end soon and clients have a backoff of their own.
func retryAfter(e *Error) string {
	seconds := (e.RetryAfter + time.Second - 1) / time.Second
	return formatInt(int64(max(seconds, 1)))
}

// statusFor returns the status of the answer to an error.
//
// Clients abandon uploads on the wrong status: tus-js-client starts again at
// byte 0 after a HEAD that is neither 2xx nor 423, and gives up after a PATCH
// with 400, 408 or 429. So a transient error is 423 on every HEAD of the tus
// dialect, and 503 on every GET.
func statusFor(e *Error, dialect Dialect, method string) int {
	switch {
	case e.Response.StatusCode != 0 && !e.Transient:
		return e.Response.StatusCode
	case e.Transient && method == http.MethodGet:
		return http.StatusServiceUnavailable
	case dialect == DialectIETF && e.Transient && method == http.MethodHead:
		return http.StatusServiceUnavailable
	case dialect == DialectIETF:
		return e.Status.IETF
	case e.Transient && method == http.MethodHead:
		return http.StatusLocked
	}
	return e.Status.Tus
}
