// Package loglimit bounds the texts of a client in a line of the log.
package loglimit

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"unicode/utf8"
)

// Limits of a text in a line, in bytes. Errors of this program may contain a stack.
const (
	Text      = 2 << 10
	ErrorText = 16 << 10
)

// Cut returns s, or its first limit bytes and how many are missing.
func Cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	end := limit
	for end > limit-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…(+" + strconv.Itoa(len(s)-end) + " bytes)"
}

// NewHandler returns a handler that passes records to inner and cuts every text
// that is too long: the message, strings, errors, and values with a formatting
// method.
func NewHandler(inner slog.Handler) slog.Handler { return handler{inner} }

type handler struct{ slog.Handler }

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs)}
}

func (h handler) WithGroup(name string) slog.Handler { return handler{h.Handler.WithGroup(name)} }

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	limit := Text
	if r.Level >= slog.LevelError {
		limit = ErrorText
	}
	fits := len(r.Message) <= limit
	r.Attrs(func(a slog.Attr) bool {
		fits = fits && fitting(a.Value, limit)
		return fits
	})
	if !fits {
		r = cut(r, limit)
	}
	return h.Handler.Handle(ctx, r)
}

// fitting reports whether v needs no cut.
func fitting(v slog.Value, limit int) bool {
	switch v.Kind() {
	case slog.KindString:
		return len(v.String()) <= limit
	case slog.KindAny, slog.KindLogValuer, slog.KindGroup:
		text, ok := textOf(v)
		return ok && len(text) <= limit
	}
	return true
}

// textOf returns the text that is written for v; ok is false if v is not a
// text.
func textOf(v slog.Value) (text string, ok bool) {
	switch x := v.Any().(type) {
	case error:
		return x.Error(), true
	case fmt.Stringer:
		return x.String(), true
	}
	return "", false
}

// cut returns a copy of r with every text cut. Values of other kinds are
// formatted here, because nothing else tells how long they are.
func cut(r slog.Record, limit int) slog.Record {
	short := slog.NewRecord(r.Time, r.Level, Cut(r.Message, limit), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		if !fitting(a.Value, limit) {
			text, ok := textOf(a.Value)
			if !ok {
				text = a.Value.Resolve().String()
			}
			a.Value = slog.StringValue(Cut(text, limit))
		}
		short.AddAttrs(a)
		return true
	})
	return short
}
