// Package grpchook calls a gRPC service as a hook. Its protocol is that of tusd v2.
package grpchook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tus/tusd"
	"github.com/tus/tusd/hooks"
	"github.com/tus/tusd/hooks/grpchook/proto"
)

// Hook calls InvokeHook of a service. A call is tried again after the codes ResourceExhausted and
// Unavailable; every other code is a failure at once.
//
// The zero value of each field but Target means its default.
type Hook struct {
	Target string // as gRPC names it, like localhost:9000 or unix:/run/hooks
	// Credentials are for TLS; nil: the connection is not encrypted.
	Credentials credentials.TransportCredentials
	// ForwardHeaders names fields of the client's request that the call has as metadata.
	ForwardHeaders []string
	// Attempts is how often an event is sent at most, in one call of InvokeHook; 0: 3.
	Attempts int
	// Backoff is the wait before the second attempt; 0: 1 s. It doubles, and varies by a
	// quarter.
	Backoff time.Duration
	// Timeout limits all attempts and the waits between them; 0: 15 s.
	Timeout time.Duration

	connection *grpc.ClientConn
	client     proto.HookHandlerClient
}

var _ hooks.Hook = (*Hook)(nil)

const (
	defaultAttempts = 3
	defaultBackoff  = time.Second
	defaultTimeout  = 15 * time.Second
)

// Name returns "grpc".
func (h *Hook) Name() string { return "grpc" }

// Setup returns an error if Target is malformed. It does not wait for a connection.
func (h *Hook) Setup(context.Context) error {
	secure := h.Credentials
	if secure == nil {
		secure = insecure.NewCredentials()
	}
	connection, err := grpc.NewClient(h.Target, grpc.WithTransportCredentials(secure))
	if err != nil {
		return err
	}
	h.connection, h.client = connection, proto.NewHookHandlerClient(connection)
	return nil
}

// Close closes the connection.
func (h *Hook) Close() error { return h.connection.Close() }

// InvokeHook sends one event.
func (h *Hook) InvokeHook(ctx context.Context, request hooks.HookRequest) (hooks.HookResponse, error) {
	ctx, cancel := context.WithTimeout(h.withMetadata(ctx, request), cmp.Or(h.Timeout, defaultTimeout))
	defer cancel()
	message := newMessage(request)
	backoff := cmp.Or(h.Backoff, defaultBackoff)
	for attempt := 1; ; attempt++ {
		answer, err := h.client.InvokeHook(ctx, message)
		if err == nil {
			return newResponse(request.Type, answer)
		}
		code := status.Code(err)
		if code != codes.ResourceExhausted && code != codes.Unavailable || attempt >= cmp.Or(h.Attempts, defaultAttempts) || !sleep(ctx, backoff) {
			return hooks.HookResponse{}, err
		}
		backoff *= 2
	}
}

// withMetadata adds the fields that are forwarded.
func (h *Hook) withMetadata(ctx context.Context, request hooks.HookRequest) context.Context {
	for _, name := range h.ForwardHeaders {
		for _, value := range request.Event.HTTPRequest.Header[http.CanonicalHeaderKey(name)] {
			ctx = metadata.AppendToOutgoingContext(ctx, strings.ToLower(name), value)
		}
	}
	return ctx
}

// sleep waits for about d. It returns false if ctx ends first, or would.
func sleep(ctx context.Context, d time.Duration) bool {
	d += time.Duration((rand.Float64() - 0.5) / 2 * float64(d))
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func newMessage(r hooks.HookRequest) *proto.HookRequest {
	u := r.Event.Upload
	header := make(map[string]string, len(r.Event.HTTPRequest.Header))
	for name, values := range r.Event.HTTPRequest.Header {
		if len(values) > 0 {
			header[name] = values[0]
		}
	}
	event := &proto.Event{
		Upload: &proto.FileInfo{
			Id: u.ID, Size: u.Size, SizeIsDeferred: u.SizeIsDeferred, Offset: u.Offset, MetaData: u.MetaData,
			IsPartial: u.IsPartial, IsFinal: u.IsFinal, PartialUploads: u.PartialUploads, Storage: u.Storage, Owner: u.Owner,
		},
		HttpRequest: &proto.HTTPRequest{
			Method: r.Event.HTTPRequest.Method, Uri: r.Event.HTTPRequest.URI, RemoteAddr: r.Event.HTTPRequest.RemoteAddr, Header: header,
		},
		Id: r.Event.ID, Sequence: int32(r.Event.Sequence), Attempt: int32(r.Event.Attempt), Reason: string(r.Event.Reason),
	}
	if !r.Event.Time.IsZero() {
		event.Time = r.Event.Time.Format(time.RFC3339Nano)
	}
	return &proto.HookRequest{Type: string(r.Type), Event: event}
}

// newResponse translates an answer. In proto3 a map that is empty is one that is absent.
func newResponse(event tusd.EventType, r *proto.HookResponse) (hooks.HookResponse, error) {
	response := hooks.HookResponse{
		HTTPResponse: hooks.HTTPResponse{
			StatusCode: int(r.GetHttpResponse().GetStatusCode()), Body: r.GetHttpResponse().GetBody(), Header: r.GetHttpResponse().GetHeader(),
		},
		RejectUpload: r.GetRejectUpload(), RejectTermination: r.GetRejectTermination(), RejectAccess: r.GetRejectAccess(),
		AllowSeconds: int(r.GetAllowSeconds()), StopUpload: r.GetStopUpload(),
	}
	c := r.GetChangeFileInfo()
	response.ChangeFileInfo.ID, response.ChangeFileInfo.Owner = c.GetId(), c.GetOwner()
	if len(c.GetMetaData()) > 0 {
		response.ChangeFileInfo.MetaData = c.GetMetaData()
	} else if c.GetClearMetaData() {
		response.ChangeFileInfo.MetaData = map[string]string{}
	}
	if len(c.GetStorage()) > 0 {
		response.ChangeFileInfo.Storage = c.GetStorage()
	}
	if c.GetExpires() != "" {
		at, err := time.Parse(time.RFC3339, c.GetExpires())
		if err != nil {
			return hooks.HookResponse{}, errors.Join(fmt.Errorf("%s: changeFileInfo.expires is no time", event), err)
		}
		response.ChangeFileInfo.Expires = at
	}
	return response, nil
}
