// Package grpchook calls a gRPC service as a hook. Its protocol is that of tusd v2.
package grpchook

import (
	"cmp"
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/tus/tusd/hooks"
	"github.com/tus/tusd/hooks/grpchook/proto"
	"github.com/tus/tusd/internal/retry"
)

// Hook calls InvokeHook of a service. A call is tried again after the codes ResourceExhausted and
// Unavailable; every other code is a failure at once.
//
// The zero value of each field but Target means its default.
type Hook struct {
	Target string // as gRPC names it, like localhost:9000 or unix:/run/hooks
	// Credentials are for TLS, see LoadCredentials; nil: the connection is not encrypted.
	Credentials credentials.TransportCredentials
	// ForwardHeaders names fields of the client's request that the call has as metadata, in
	// lower case. gRPC sends its own Content-Type and User-Agent in place of the client's. A
	// value with other characters than printable ASCII is left out, unless the name ends in
	// -bin.
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

	// maxConnectDelay is the longest wait between two attempts to connect. Until the next one all
	// calls fail, also if the service is back.
	maxConnectDelay = 5 * time.Second
	// pingInterval is one that servers of gRPC allow by default. Pings are rare, but with them
	// the system ends a connection whose packets have had no answer for 20 s.
	pingInterval = 6 * time.Minute
)

// Name returns "grpc".
func (h *Hook) Name() string { return "grpc" }

// Setup returns an error if Target is malformed, or if ForwardHeaders has a name that no metadata
// can have. It does not wait for a connection.
func (h *Hook) Setup(context.Context) error {
	for _, name := range h.ForwardHeaders {
		if err := checkName(name); err != nil {
			return err
		}
	}
	secure := h.Credentials
	if secure == nil {
		secure = insecure.NewCredentials()
	}
	reconnect := backoff.DefaultConfig
	reconnect.MaxDelay = maxConnectDelay
	connection, err := grpc.NewClient(h.Target, grpc.WithTransportCredentials(secure),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: maxConnectDelay}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingInterval}))
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
	answer, err := retry.Call(ctx, cmp.Or(h.Attempts, defaultAttempts), cmp.Or(h.Backoff, defaultBackoff), mayPass, func() (*proto.HookResponse, error) {
		return h.client.InvokeHook(ctx, message)
	})
	if err != nil {
		return hooks.HookResponse{}, err
	}
	return newResponse(answer)
}

// mayPass reports whether the call that has failed is tried again.
func mayPass(err error) bool {
	code := status.Code(err)
	return code == codes.ResourceExhausted || code == codes.Unavailable
}
