package grpchook

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/tus/tusd/hooks"
)

// connectionFields are fields of a connection, with which HTTP/2 refuses a request.
var connectionFields = []string{"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te"}

// checkName returns an error if a call with this field as metadata would fail.
func checkName(name string) error {
	key := strings.ToLower(name)
	allowed := key != "" && !strings.HasPrefix(key, "grpc-") && !slices.Contains(connectionFields, key)
	for _, c := range []byte(key) {
		allowed = allowed && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-_.", c) >= 0)
	}
	if !allowed {
		return fmt.Errorf("gRPC cannot forward the field %q", name)
	}
	return nil
}

// withMetadata adds the fields that are forwarded.
func (h *Hook) withMetadata(ctx context.Context, request hooks.HookRequest) context.Context {
	for _, name := range h.ForwardHeaders {
		key := strings.ToLower(name)
		for _, value := range request.Event.HTTPRequest.Header[http.CanonicalHeaderKey(name)] {
			if strings.HasSuffix(key, "-bin") || isPrintable(value) {
				ctx = metadata.AppendToOutgoingContext(ctx, key, value)
			}
		}
	}
	return ctx
}

func isPrintable(value string) bool {
	for _, c := range []byte(value) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
