package cli

import (
	"context"
	"log/slog"
	"slices"
)

// withoutMessages is a log without the records that have one of the messages.
type withoutMessages struct {
	slog.Handler
	messages []string
}

// Handle implements slog.Handler.
func (h withoutMessages) Handle(ctx context.Context, r slog.Record) error {
	if slices.Contains(h.messages, r.Message) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h withoutMessages) WithAttrs(attrs []slog.Attr) slog.Handler {
	return withoutMessages{h.Handler.WithAttrs(attrs), h.messages}
}

// WithGroup implements slog.Handler.
func (h withoutMessages) WithGroup(name string) slog.Handler {
	return withoutMessages{h.Handler.WithGroup(name), h.messages}
}
