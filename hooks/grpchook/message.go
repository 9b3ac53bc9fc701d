package grpchook

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/tus/tusd/hooks"
	"github.com/tus/tusd/hooks/grpchook/proto"
)

// newMessage translates a request. Strings of proto3 are UTF-8: as in JSON, U+FFFD replaces what
// is not, in the values that clients choose.
func newMessage(r hooks.HookRequest) *proto.HookRequest {
	u, h := r.Event.Upload, r.Event.HTTPRequest
	event := &proto.Event{
		Upload: &proto.FileInfo{
			Id: u.ID, Size: u.Size, SizeIsDeferred: u.SizeIsDeferred, Offset: u.Offset, MetaData: validTexts(u.MetaData),
			IsPartial: u.IsPartial, IsFinal: u.IsFinal, PartialUploads: u.PartialUploads, Storage: validTexts(u.Storage), Owner: valid(u.Owner),
		},
		HttpRequest: &proto.HTTPRequest{
			Method: valid(h.Method), Uri: valid(h.URI), RemoteAddr: valid(h.RemoteAddr), Header: validTexts(firstValues(h.Header)),
		},
		Id: r.Event.ID, Sequence: int32(r.Event.Sequence), Attempt: int32(r.Event.Attempt), Reason: string(r.Event.Reason),
	}
	if !r.Event.Time.IsZero() {
		event.Time = r.Event.Time.Format(time.RFC3339Nano)
	}
	return &proto.HookRequest{Type: string(r.Type), Event: event}
}

func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

func validTexts(m map[string]string) map[string]string {
	texts := make(map[string]string, len(m))
	for name, value := range m {
		texts[valid(name)] = valid(value)
	}
	return texts
}

func firstValues(header map[string][]string) map[string]string {
	first := make(map[string]string, len(header))
	for name, values := range header {
		if len(values) > 0 {
			first[name] = values[0]
		}
	}
	return first
}

// newResponse translates an answer. In proto3 a map that is empty is one that is absent.
func newResponse(r *proto.HookResponse) (hooks.HookResponse, error) {
	answer, changes := r.GetHttpResponse(), r.GetChangeFileInfo()
	if status := answer.GetStatusCode(); status < 0 || status > math.MaxInt32 { // an int may have 32 bits
		return hooks.HookResponse{}, fmt.Errorf("the answer has status %d", status)
	}
	response := hooks.HookResponse{
		HTTPResponse: hooks.HTTPResponse{StatusCode: int(answer.GetStatusCode()), Body: answer.GetBody(), Header: answer.GetHeader()},
		RejectUpload: r.GetRejectUpload(), RejectTermination: r.GetRejectTermination(), RejectAccess: r.GetRejectAccess(),
		AllowSeconds: int(r.GetAllowSeconds()), StopUpload: r.GetStopUpload(),
		ChangeFileInfo: hooks.FileInfoChanges{ID: changes.GetId(), Owner: changes.GetOwner()},
	}
	switch {
	case len(changes.GetMetaData()) > 0:
		response.ChangeFileInfo.MetaData = changes.GetMetaData()
	case changes.GetClearMetaData():
		response.ChangeFileInfo.MetaData = map[string]string{}
	}
	if len(changes.GetStorage()) > 0 {
		response.ChangeFileInfo.Storage = changes.GetStorage()
	}
	if changes.GetExpires() != "" {
		at, err := time.Parse(time.RFC3339, changes.GetExpires())
		if err != nil {
			return hooks.HookResponse{}, fmt.Errorf("the answer has expires, which is no time of RFC 3339: %w", err)
		}
		response.ChangeFileInfo.Expires = at
	}
	return response, nil
}
