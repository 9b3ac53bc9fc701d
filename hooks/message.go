package hooks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/tus/tusd"
)

// newRequest returns the message about an event.
func newRequest(event tusd.Event) HookRequest {
	return HookRequest{Type: event.Type, Event: Event{
		Upload: newUpload(event.Upload),
		HTTPRequest: HTTPRequest{
			Method: event.HTTPRequest.Method, URI: event.HTTPRequest.URI,
			RemoteAddr: event.HTTPRequest.RemoteAddr, Header: headerOf(event.HTTPRequest.Header),
		},
		ID: event.ID, Sequence: event.Sequence, Time: event.Time, Attempt: event.Attempt, Reason: event.Reason,
	}}
}

func newUpload(info tusd.FileInfo) Upload {
	u := Upload{
		ID: info.ID, Size: info.Size, SizeIsDeferred: info.SizeIsDeferred, Offset: info.Offset,
		MetaData: textsOf(info.MetaData), IsPartial: info.IsPartial, IsFinal: info.IsFinal,
		PartialUploads: slices.Clone(info.PartialUploads), Storage: textsOf(info.Storage), Owner: info.Owner,
	}
	if info.SizeIsDeferred && info.KnownLength != nil { // a client of the IETF draft has announced it
		u.Size, u.SizeIsDeferred = *info.KnownLength, false
	}
	return u
}

// textsOf returns a copy that is never nil: consumers get {}, not null.
func textsOf[M ~map[string]string](m M) map[string]string {
	texts := make(map[string]string, len(m))
	maps.Copy(texts, m)
	return texts
}

func headerOf(header http.Header) map[string][]string {
	if header == nil {
		return map[string][]string{}
	}
	return header.Clone()
}

// ErrUnreadable marks the error of a call after which the hook has the event, but whose answer is
// none. It is a failure of pre-* events. post-* events are delivered then, because little depends on
// their answers: programs that print text, or answer "OK", worked with tusd v2.
var ErrUnreadable = errors.New("the answer cannot be read")

// ErrNothingToCall is what Hook.InvokeHook returns if nothing behind it gets events of the type. It
// changes nothing, and is counted as no error.
var ErrNothingToCall = errors.New("there is nothing to call for this event")

// ParseResponse decodes the JSON of an answer. An empty one changes nothing. Transports call
// it.
func ParseResponse(answer []byte) (HookResponse, error) {
	var response HookResponse
	if len(bytes.TrimSpace(answer)) == 0 {
		return response, nil
	}
	if err := json.Unmarshal(answer, &response); err != nil {
		return HookResponse{}, fmt.Errorf("%w: it is not the JSON of a hook: %w", ErrUnreadable, err)
	}
	return response, nil
}

// check returns an error if the answer is none: no request can end with its status.
func (r *HookResponse) check() error {
	if status := r.HTTPResponse.StatusCode; status != 0 && (status < 200 || status > 599) {
		return fmt.Errorf("%w: it has status %d", ErrUnreadable, status)
	}
	if r.AllowSeconds < 0 {
		return fmt.Errorf("%w: its AllowSeconds are negative", ErrUnreadable)
	}
	return nil
}

// response returns the changes of the answer for package tusd.
func (r HTTPResponse) response() tusd.HTTPResponse {
	return tusd.HTTPResponse{StatusCode: r.StatusCode, Body: r.Body, Header: r.Header}
}

// isClientError reports whether the status is one of 400 to 499.
func (r HTTPResponse) isClientError() bool { return r.StatusCode >= 400 && r.StatusCode <= 499 }

// failure returns an error if the status is least or more: the hook could not decide.
func (r HTTPResponse) failure(least int) error {
	if r.StatusCode < least {
		return nil
	}
	return tusd.ErrInternal.With(fmt.Errorf("the answer of a hook has status %d", r.StatusCode))
}

// merge adds the changes of a later hook, which take precedence.
func (r *HTTPResponse) merge(later HTTPResponse) {
	if later.StatusCode != 0 {
		r.StatusCode = later.StatusCode
	}
	if later.Body != "" {
		r.Body = later.Body
	}
	if len(later.Header) > 0 && r.Header == nil {
		r.Header = make(map[string]string)
	}
	for name, value := range later.Header {
		r.Header[http.CanonicalHeaderKey(name)] = value
	}
}
