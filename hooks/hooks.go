// Package hooks connects the uploads of a tusd.Handler to programs of the operator:
// executables, HTTP endpoints, gRPC services and plugins. Their messages are those of tusd v2,
// with further fields that older programs pass over.
//
// NewHandler is tusd.NewHandler with hooks. The packages below this one are the transports.
package hooks

import (
	"context"
	"time"

	"github.com/tus/tusd"
)

// Hook is a receiver of events behind one transport. Its methods may be called concurrently,
// except that Setup comes first and Close last.
type Hook interface {
	// Name names the transport in logs and metrics, like "http".
	Name() string
	// Setup prepares the hook. It is called once, before the first InvokeHook.
	Setup(ctx context.Context) error
	// InvokeHook delivers one event and returns the answer. The event of an answer without
	// error is delivered. An error is a failure: the event may have arrived, and may be
	// delivered again, unless it is an ErrUnreadable. ErrNothingToCall is no failure: the event is
	// delivered, and the hook says nothing. InvokeHook returns soon after the end of ctx.
	InvokeHook(ctx context.Context, request HookRequest) (HookResponse, error)
	// Close ends the hook. No call of InvokeHook is running, except one that goes on 10 s after
	// the end of its context.
	Close() error
}

// HookRequest is the message to a hook. Its JSON is that of tusd v2.
type HookRequest struct {
	Type  tusd.EventType
	Event Event
}

// Event describes what happens to which upload.
type Event struct {
	Upload      Upload
	HTTPRequest HTTPRequest

	// The following fields are not of tusd v2.

	// ID is the same each time the event is delivered; only in post-* events.
	ID string `json:",omitempty"`
	// Sequence orders the events of an upload: 1 created, 2 finished, 3 terminated or expired;
	// 0 in other events.
	Sequence int `json:",omitempty"`
	// Time is when the event happened.
	Time time.Time `json:",omitzero"`
	// Attempt counts the attempts of this server to deliver the event, from 1. After a restart it may
	// begin again.
	Attempt int `json:",omitempty"`
	// Reason is why the upload is removed; only in pre-terminate, post-terminate and post-expire.
	Reason tusd.RemovalReason `json:",omitempty"`
}

// Upload is what a hook is told of an upload.
type Upload struct {
	ID             string
	Size           int64 // bytes; 0 while SizeIsDeferred
	SizeIsDeferred bool
	Offset         int64 // bytes
	MetaData       map[string]string
	IsPartial      bool
	IsFinal        bool
	PartialUploads []string
	Storage        map[string]string

	// Owner is not of tusd v2. A pre-create hook has chosen it.
	Owner string `json:",omitempty"`
}

// HTTPRequest is the request that caused an event. All fields are empty if no request did.
type HTTPRequest struct {
	Method     string
	URI        string
	RemoteAddr string
	Header     map[string][]string
}

// HookResponse is the answer of a hook. The zero value changes nothing.
type HookResponse struct {
	// HTTPResponse changes the answer to the client: of a successful request, or of a refused
	// or stopped one.
	HTTPResponse HTTPResponse
	// RejectUpload refuses the creation of an upload; only after pre-create.
	RejectUpload bool
	// RejectTermination refuses a DELETE; only after pre-terminate.
	RejectTermination bool
	// RejectAccess refuses a request on an upload; only after pre-access. So does a
	// HTTPResponse.StatusCode of 400 to 499; without RejectAccess, one of 300 to 399 or 500 to 599
	// is a failure.
	RejectAccess bool
	// AllowSeconds is how long the same client may go on without another pre-access: requests
	// with the same credentials and kind of method on the same upload; only after pre-access.
	AllowSeconds int
	// ChangeFileInfo changes the new upload; only after pre-create.
	ChangeFileInfo FileInfoChanges
	// StopUpload ends the running request and removes the upload; only after post-receive. It counts
	// also if the rest of the answer cannot, because of its StatusCode.
	StopUpload bool

	silent bool // there was nothing to call, so this is no answer
}

// HTTPResponse changes an answer. Zero fields change nothing. A StatusCode outside of 200 to 599
// makes the call of the hook a failure.
type HTTPResponse struct {
	StatusCode int
	Body       string
	Header     map[string]string
}

// FileInfoChanges is what a pre-create hook changes.
type FileInfoChanges struct {
	ID       string            // "": the server chooses
	MetaData map[string]string // nil: those of the client; {}: none
	Storage  map[string]string // only Path, in a store of files

	// Owner and Expires are not of tusd v2, see tusd.FileInfoChanges.
	Owner   string
	Expires time.Time
}
