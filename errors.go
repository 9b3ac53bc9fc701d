package tusd

import (
	"errors"
	"time"
)

// Error is the answer to a request that failed: a stable code, the status for
// each dialect, a message for people, and a cause for the log.
//
// The errors of this package are the variables Err...; docs/errors.md lists them. With and Refuse return copies, so the
// table never changes. errors.Is matches by code; errors.As and Unwrap reach
// the cause.
type Error struct {
	Code    string // stable across releases, e.g. "ERR_MISMATCHED_OFFSET"
	Status  Statuses
	Message string // for people, may change; sent to the client
	// Transient means that the same request may succeed later. The answer has
	// Retry-After. On HEAD and GET it may have another status than Status,
	// because clients abandon an upload on the wrong one.
	Transient bool
	// RetryAfter is how long the client should wait, if Transient; 0: a second.
	RetryAfter time.Duration
	// Response replaces status, body and headers where a callback has set them.
	Response HTTPResponse
	Err      error // cause; logged, never sent
}

// Error returns code, message and cause, for the log.
func (e *Error) Error() string {
	s := e.Code + ": " + e.Message
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is matches by code, so that a copy with a cause still matches its sentinel.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// With returns a copy of e with cause err.
func (e *Error) With(err error) *Error {
	c := *e
	c.Err = err
	return &c
}

// Refuse returns a copy of e with the status, the body and the headers that are
// set in r. Programs use it on ErrUploadRejected, ErrTerminationRejected, ErrAccessDenied
// and ErrUploadStopped. A body replaces the code and the message in the answer. On a
// transient error it has no effect.
func (e *Error) Refuse(r HTTPResponse) *Error {
	c := *e
	c.Response = r
	return &c
}

// Errors that a program returns in a callback, or passes to Handler.StopUpload. Error.Refuse
// sets another status, body or header. In a callback for an upload that exists, ErrNotFound
// hides it.
//
// Like all errors with a code, they are answers of the table in docs/errors.md. Those of
// tusd v2 keep their codes.
var (
	ErrUploadRejected      = &Error{Code: "ERR_UPLOAD_REJECTED", Status: both(400), Message: "the upload was refused"}
	ErrTerminationRejected = &Error{Code: "ERR_UPLOAD_TERMINATION_REJECTED", Status: both(400), Message: "the termination was refused"}
	ErrAccessDenied        = &Error{Code: "ERR_ACCESS_DENIED", Status: both(403), Message: "access to this upload was refused"}
	ErrUploadStopped       = &Error{Code: "ERR_UPLOAD_STOPPED", Status: both(400), Message: "the server has stopped the upload"}
)

// Errors that a store returns, with its cause: ErrNotFound.With(err). Any other error is
// transient: the client is asked to retry.
var (
	ErrNotFound         = &Error{Code: "ERR_UPLOAD_NOT_FOUND", Status: both(404), Message: "there is no such upload"}
	ErrUploadExists     = &Error{Code: "ERR_UPLOAD_EXISTS", Status: both(409), Message: "an upload with this id exists"}
	ErrNoSpace          = &Error{Code: "ERR_NO_SPACE", Status: both(507), Transient: true, Message: "there is no space for this data at the moment"}
	ErrQuotaExceeded    = &Error{Code: "ERR_QUOTA_EXCEEDED", Status: both(507), Transient: true, Message: "the uploads of this owner use all the space that they may"}
	ErrMaxSizeExceeded  = &Error{Code: "ERR_MAX_SIZE_EXCEEDED", Status: both(413), Message: "the upload is larger than this server allows"}
	ErrInvalidName      = &Error{Code: "ERR_INVALID_UPLOAD_NAME", Status: both(400), Message: "the upload cannot be stored under the name that was chosen for it"}
	ErrIncompleteUpload = &Error{Code: "ERR_INCOMPLETE_UPLOAD", Status: both(409), Message: "the upload is not complete"}
)

// Errors that stores and the handler exchange. No client gets them.
var (
	// ErrBroken marks an ErrNotFound whose record exists but is not valid.
	// Use: ErrNotFound.With(fmt.Errorf("%w: ...", ErrBroken)).
	ErrBroken = errors.New("broken record")
	// ErrAnnouncedOnly marks an ErrNoSpace for bytes that a client has only
	// announced: it does not mean that the server's disk is full.
	ErrAnnouncedOnly = errors.New("announced")
	// ErrUnverified ends a src whose checksum is not verified yet, or wrong: Rewind may
	// follow. A store whose ReadsIncomplete is true keeps all bytes before the error;
	// another one may keep fewer.
	ErrUnverified = errors.New("the content is not verified")
	// ErrNoLease is returned by changes of an upload that was loaded without a lease.
	ErrNoLease = errors.New("the upload was loaded without a lease")
)

// Errors that a locker returns.
var (
	ErrUploadLocked = &Error{Code: "ERR_UPLOAD_LOCKED", Status: transientStatus(423), Transient: true, Message: "another request is using the upload"}
	ErrLockTimeout  = &Error{Code: "ERR_LOCK_TIMEOUT", Status: transientStatus(423), Transient: true, Message: "another request did not release the upload in time"}
	ErrLockLost     = &Error{Code: "ERR_LOCK_LOST", Status: transientStatus(423), Transient: true, Message: "the lock on the upload was lost"}
	// ErrLockServiceUnavailable has the cause: ErrLockServiceUnavailable.With(err). A
	// locker that returns it logs one line when it can no longer lock, and one when it can
	// lock again: the handler logs none. Another error of a locker becomes this one, and
	// the handler logs it once a minute.
	ErrLockServiceUnavailable = &Error{Code: "ERR_LOCK_SERVICE_UNAVAILABLE", Status: transientStatus(503), Transient: true, Message: "the server cannot lock uploads at the moment"}
)

// The other answers that are not transient. The handler returns them to clients.
var (
	ErrUnsupportedVersion       = &Error{Code: "ERR_UNSUPPORTED_VERSION", Status: both(412), Message: "the request needs Tus-Resumable: 1.0.0"}
	ErrInvalidUploadLength      = &Error{Code: "ERR_INVALID_UPLOAD_LENGTH", Status: both(400), Message: "Upload-Length is missing, malformed or not possible for this upload"}
	ErrAmbiguousUploadLength    = &Error{Code: "ERR_AMBIGUOUS_UPLOAD_LENGTH", Status: both(400), Message: "Upload-Length and Upload-Defer-Length exclude each other"}
	ErrInvalidUploadLengthDefer = &Error{Code: "ERR_INVALID_UPLOAD_LENGTH_DEFER", Status: both(400), Message: "Upload-Defer-Length can only be 1"}
	ErrInvalidMetaData          = &Error{Code: "ERR_INVALID_METADATA", Status: both(400), Message: "Upload-Metadata is malformed"}
	ErrMetaDataTooLarge         = &Error{Code: "ERR_METADATA_TOO_LARGE", Status: both(431), Message: "Upload-Metadata is too large, alone or with what else answers repeat: Upload-Concat, the name and the type of the file"}
	ErrUploadSizeExceeded       = &Error{Code: "ERR_UPLOAD_SIZE_EXCEEDED", Status: both(413), Message: "the body goes beyond the length of the upload"}
	ErrInvalidContentType       = &Error{Code: "ERR_INVALID_CONTENT_TYPE", Status: both(415), Message: "the content needs another Content-Type"}
	ErrInvalidOffset            = &Error{Code: "ERR_INVALID_OFFSET", Status: both(400), Message: "Upload-Offset is missing or malformed"}
	ErrMismatchedOffset         = &Error{Code: "ERR_MISMATCHED_OFFSET", Status: both(409), Message: "Upload-Offset is not the offset of the upload"}
	ErrInvalidID                = &Error{Code: "ERR_INVALID_UPLOAD_ID", Status: both(404), Message: "this cannot be the name of an upload"}
	ErrUploadFailed             = &Error{Code: "ERR_UPLOAD_FAILED", Status: both(410), Message: "the upload has failed and cannot be continued"}
	ErrUploadTerminated         = &Error{Code: "ERR_UPLOAD_TERMINATED", Status: both(410), Message: "the upload was removed"}
	ErrUploadExpired            = &Error{Code: "ERR_UPLOAD_EXPIRED", Status: both(410), Message: "the upload has expired"}
	ErrMethodNotAllowed         = &Error{Code: "ERR_METHOD_NOT_ALLOWED", Status: both(405), Message: "the method is not allowed here"}
	ErrNotImplemented           = &Error{Code: "ERR_NOT_IMPLEMENTED", Status: both(501), Message: "the storage behind this server cannot do that"}
	ErrInvalidConcat            = &Error{Code: "ERR_INVALID_CONCAT", Status: both(400), Message: "Upload-Concat is malformed or names uploads that cannot be concatenated"}
	ErrTooManyPartials          = &Error{Code: "ERR_TOO_MANY_PARTIALS", Status: both(400), Message: "a final upload cannot have so many partial uploads here"}
	ErrConcatenationUnsupported = &Error{Code: "ERR_CONCATENATION_UNSUPPORTED", Status: both(400), Message: "this server does not join uploads"}
	ErrModifyFinal              = &Error{Code: "ERR_MODIFY_FINAL", Status: both(403), Message: "a final upload takes no data"}
	ErrOriginNotAllowed         = &Error{Code: "ERR_ORIGIN_NOT_ALLOWED", Status: both(403), Message: "this origin is not allowed"}
	ErrPreconditionFailed       = &Error{Code: "ERR_PRECONDITION_FAILED", Status: both(412), Message: "the upload is not what If-Match or If-Unmodified-Since asks for"}
	ErrRangeNotSatisfiable      = &Error{Code: "ERR_RANGE_NOT_SATISFIABLE", Status: both(416), Message: "the upload has none of the bytes that Range names"}
	ErrInvalidChecksum          = &Error{Code: "ERR_INVALID_CHECKSUM", Status: both(400), Message: "Upload-Checksum is malformed, incomplete or of an algorithm that is not offered"}
	ErrChecksumMismatch         = &Error{Code: "ERR_CHECKSUM_MISMATCH", Status: Statuses{460, 400}, Message: "the content does not match its checksum and was discarded"}
	ErrChecksumTooLarge         = &Error{Code: "ERR_CHECKSUM_TOO_LARGE", Status: both(413), Message: "content with a checksum cannot be this large here"}
	ErrDigestMismatch           = &Error{Code: "ERR_DIGEST_MISMATCH", Status: both(422), Message: "the upload does not match its Repr-Digest"}
	ErrInvalidComplete          = &Error{Code: "ERR_INVALID_UPLOAD_COMPLETE", Status: both(400), Message: "Upload-Complete is missing or malformed"}
	ErrInconsistentLength       = &Error{Code: "ERR_INCONSISTENT_UPLOAD_LENGTH", Status: both(400), Message: "the lengths that were given for the upload contradict each other"}
	ErrUploadCompleted          = &Error{Code: "ERR_UPLOAD_COMPLETED", Status: both(400), Message: "the upload is complete and takes no more data"}
	ErrAppendTooLarge           = &Error{Code: "ERR_APPEND_TOO_LARGE", Status: both(413), Message: "the content of this request is larger than Upload-Limit allows"}
	ErrAppendTooSmall           = &Error{Code: "ERR_APPEND_TOO_SMALL", Status: both(400), Message: "the content of this request is smaller than Upload-Limit allows"}
	ErrUnexpectedHeader         = &Error{Code: "ERR_UNEXPECTED_HEADER", Status: both(400), Message: "the request has a header that it must not have"}
	ErrHeaderTooLarge           = &Error{Code: "ERR_HEADER_TOO_LARGE", Status: both(431), Message: "the header of the request is too large"}
	ErrBodyTooLarge             = &Error{Code: "ERR_BODY_TOO_LARGE", Status: both(413), Message: "the request body is larger than what stands before this server allows"}
)

// The other transient answers: the same request may succeed later. The handler returns them to
// clients.
var (
	ErrUploadInterrupted  = &Error{Code: "ERR_UPLOAD_INTERRUPTED", Status: transientStatus(423), Transient: true, Message: "a newer request has taken over the upload"}
	ErrUploadFinishing    = &Error{Code: "ERR_UPLOAD_FINISHING", Status: transientStatus(423), Transient: true, Message: "the upload is being finished"}
	ErrPartialInUse       = &Error{Code: "ERR_PARTIAL_IN_USE", Status: transientStatus(423), Transient: true, Message: "an unfinished final upload needs this partial upload"}
	ErrFinishFailed       = &Error{Code: "ERR_FINISH_FAILED", Status: transientStatus(503), Transient: true, Message: "finishing the upload did not succeed yet; it will be tried again"}
	ErrServerShutdown     = &Error{Code: "ERR_SERVER_SHUTDOWN", Status: transientStatus(503), Transient: true, Message: "the server is shutting down"}
	ErrUnexpectedEOF      = &Error{Code: "ERR_UNEXPECTED_EOF", Status: transientStatus(500), Transient: true, Message: "the request ended before its body did"}
	ErrReadTimeout        = &Error{Code: "ERR_READ_TIMEOUT", Status: transientStatus(500), Transient: true, Message: "no data arrived in time"}
	ErrTooSlow            = &Error{Code: "ERR_TOO_SLOW", Status: transientStatus(503), Transient: true, Message: "the data arrived too slowly"}
	ErrTooManyRequests    = &Error{Code: "ERR_TOO_MANY_REQUESTS", Status: transientStatus(503), Transient: true, Message: "the server is serving as many requests as it may"}
	ErrTooManyUploads     = &Error{Code: "ERR_TOO_MANY_UPLOADS", Status: transientStatus(503), Transient: true, Message: "this client is sending as many uploads at once as it may"}
	ErrTooManyFinals      = &Error{Code: "ERR_TOO_MANY_FINALS", Status: transientStatus(503), Transient: true, Message: "as many unfinished final uploads as may wait for one of these partial uploads, or to be built"}
	errTooManyConnections = &Error{Code: "ERR_TOO_MANY_CONNECTIONS", Status: transientStatus(503), Transient: true, Message: "this client has as many connections open as it may"}
	ErrConnectionReset    = &Error{Code: "ERR_CONNECTION_RESET", Status: transientStatus(500), Transient: true, Message: "the connection was reset"}
	ErrInternal           = &Error{Code: "ERR_INTERNAL_SERVER_ERROR", Status: transientStatus(500), Transient: true, Message: "something went wrong on the server"}
)

// errorTable lists the errors above in the order of docs/errors.md.
var errorTable = []*Error{
	ErrUnsupportedVersion, ErrInvalidUploadLength, ErrAmbiguousUploadLength, ErrInvalidUploadLengthDefer,
	ErrInvalidMetaData, ErrMetaDataTooLarge, ErrMaxSizeExceeded, ErrUploadSizeExceeded, ErrInvalidContentType,
	ErrInvalidOffset, ErrMismatchedOffset, ErrInvalidID, ErrNotFound, ErrUploadExists, ErrUploadFailed, ErrUploadStopped, ErrUploadTerminated, ErrUploadExpired,
	ErrMethodNotAllowed, ErrNotImplemented, ErrInvalidConcat, ErrTooManyPartials,
	ErrConcatenationUnsupported,
	ErrModifyFinal, ErrUploadRejected, ErrInvalidName, ErrTerminationRejected, ErrAccessDenied, ErrOriginNotAllowed,
	ErrIncompleteUpload, ErrPreconditionFailed, ErrRangeNotSatisfiable, ErrInvalidChecksum, ErrChecksumMismatch, ErrChecksumTooLarge, ErrDigestMismatch,
	ErrInvalidComplete, ErrInconsistentLength, ErrUploadCompleted, ErrAppendTooLarge, ErrAppendTooSmall,
	ErrUnexpectedHeader, ErrHeaderTooLarge, ErrBodyTooLarge,
	ErrUploadLocked, ErrLockTimeout, ErrLockLost, ErrLockServiceUnavailable, ErrUploadInterrupted, ErrUploadFinishing, ErrPartialInUse,
	ErrFinishFailed, ErrServerShutdown, ErrUnexpectedEOF, ErrReadTimeout, ErrTooSlow,
	ErrTooManyRequests, ErrTooManyUploads, ErrTooManyFinals, errTooManyConnections, ErrConnectionReset, ErrNoSpace, ErrQuotaExceeded, ErrInternal,
}

// asError returns the *Error in err. Any other error becomes ErrInternal, which is
// transient, because a retry may succeed.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return ErrInternal.With(err)
}

// isRefusal reports whether err is a decision against the request and not transient.
func isRefusal(err error) bool {
	var own *Error
	return errors.As(err, &own) && !own.Transient
}

// failedError returns the answer that is stored with a failed upload.
func failedError(info *FileInfo) error {
	if info.Failure == nil {
		return ErrUploadFailed
	}
	f := *ErrUploadFailed
	if info.Failure.Code != "" {
		f.Code = info.Failure.Code
	}
	if status := info.Failure.StatusCode; status < 400 || status > 599 {
		return &f // this program does not write such a status
	}
	f.Response = HTTPResponse{StatusCode: info.Failure.StatusCode, Body: info.Failure.Body, Header: info.Failure.Header}
	return &f
}
