package cli

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// lineHandler writes log lines byte for byte as the handler of package slog
// does that it is given, in a third of the time, as long as nothing in them has
// to be quoted: so are nearly all lines of requests, of which a busy server
// writes many thousand a second (decision 0019). All other lines, and loggers
// with attributes or groups of their own, are left to package slog.
type lineHandler struct {
	slog.Handler
	sink io.Writer // that of Handler; safe for concurrent use
	json bool      // the format of Handler
}

// keptLine is how large a buffer for a line may be to be used again, in bytes.
const keptLine = 4 << 10

// linePool has *line.
var linePool = sync.Pool{New: func() any { return new(line) }}

// Handle implements slog.Handler.
func (h *lineHandler) Handle(ctx context.Context, r slog.Record) error {
	l := linePool.Get().(*line)
	defer linePool.Put(l)
	l.json, l.odd, l.b = h.json, r.Time.IsZero(), l.b[:0]
	l.record(&r)
	if l.odd {
		return h.Handler.Handle(ctx, r)
	}
	_, err := h.sink.Write(l.b)
	if cap(l.b) > keptLine {
		l.b = nil
	}
	return err
}

// line is a log line in the making.
type line struct {
	b    []byte
	json bool
	odd  bool // this is not the place to write it
}

func (l *line) record(r *slog.Record) {
	if l.json {
		l.b = append(l.b, '{')
	}
	l.key(slog.TimeKey)
	l.time(r.Time)
	l.key(slog.LevelKey)
	l.text(r.Level.String())
	l.key(slog.MessageKey)
	l.text(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		l.key(a.Key)
		l.value(a.Value)
		return !l.odd
	})
	if l.json {
		l.b = append(l.b, '}')
	}
	l.b = append(l.b, '\n')
}

func (l *line) key(name string) {
	if l.json {
		if len(l.b) > 1 {
			l.b = append(l.b, ',')
		}
		l.text(name)
		l.b = append(l.b, ':')
		return
	}
	if len(l.b) > 0 {
		l.b = append(l.b, ' ')
	}
	l.text(name)
	l.b = append(l.b, '=')
}

func (l *line) value(v slog.Value) {
	switch v.Kind() {
	case slog.KindString:
		l.text(v.String())
	case slog.KindInt64:
		l.b = strconv.AppendInt(l.b, v.Int64(), 10)
	case slog.KindUint64:
		l.b = strconv.AppendUint(l.b, v.Uint64(), 10)
	case slog.KindBool:
		l.b = strconv.AppendBool(l.b, v.Bool())
	case slog.KindDuration:
		if l.json {
			l.b = strconv.AppendInt(l.b, int64(v.Duration()), 10)
		} else {
			l.b = append(l.b, v.Duration().String()...)
		}
	default:
		l.odd = true
	}
}

// text writes s, which has to need no quotes in text and no escapes in JSON.
func (l *line) text(s string) {
	switch {
	case l.odd || s == "" && !l.json || !printable(s):
		l.odd = true
	case l.json:
		l.b = append(l.b, '"')
		l.b = append(l.b, s...)
		l.b = append(l.b, '"')
	default:
		l.b = append(l.b, s...)
	}
}

// printable tells whether s is of characters that neither format changes.
func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' || c == '=' {
			return false
		}
	}
	return true
}

// time writes RFC 3339: nanoseconds in JSON, without zeros at their end, and
// always three places in text.
func (l *line) time(t time.Time) {
	if year := t.Year(); year < 0 || year > 9999 {
		l.odd = true
		return
	}
	if l.json {
		l.b = append(l.b, '"')
		l.b = t.AppendFormat(l.b, time.RFC3339Nano)
		l.b = append(l.b, '"')
		return
	}
	// Formats with a dot are far slower than this one. The digit behind the
	// milliseconds makes it write all three, and is taken away.
	const upToMilliseconds = len("2006-01-02T15:04:05.000")
	begin := len(l.b)
	l.b = t.Truncate(time.Millisecond).Add(time.Millisecond/10).AppendFormat(l.b, time.RFC3339Nano)
	l.b = append(l.b[:begin+upToMilliseconds], l.b[begin+upToMilliseconds+1:]...)
}
