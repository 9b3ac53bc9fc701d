package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"
)

// sameAsSlog fails if a line is not what package slog makes of the record, in
// either format.
func sameAsSlog(t *testing.T, r slog.Record, with ...slog.Attr) {
	t.Helper()
	for _, format := range []string{"text", "json"} {
		var got, want bytes.Buffer
		ours, theirs := newLogHandler(&got, format, slog.LevelInfo), slogHandler(&want, format, slog.LevelInfo)
		if len(with) > 0 {
			ours, theirs = ours.WithAttrs(with).WithGroup("g"), theirs.WithAttrs(with).WithGroup("g")
		}
		gotErr, wantErr := ours.Handle(context.Background(), r), theirs.Handle(context.Background(), r)
		if got.String() != want.String() || (gotErr == nil) != (wantErr == nil) {
			t.Errorf("%s: the line is\n%s(%v), package slog writes\n%s(%v)", format, got.String(), gotErr, want.String(), wantErr)
		}
	}
}

func logRecord(now time.Time, level slog.Level, message string, attributes ...slog.Attr) slog.Record {
	r := slog.NewRecord(now, level, message, 0)
	r.AddAttrs(attributes...)
	return r
}

// usualLine is what most lines are.
func usualLine(now time.Time) slog.Record {
	return logRecord(now, slog.LevelInfo, "request",
		slog.String("method", "PATCH"), slog.String("path", "/files/87817b70467647bb8ae672989488ea4d"), slog.Int("status", 204),
		slog.Int64("received", 4096), slog.Int64("sent", 0), slog.Duration("dur", 1234567), slog.String("request_id", "f1b5c07de2d13a4b"),
		slog.String("client", "2001:db8::1"), slog.String("id", "87817b70467647bb8ae672989488ea4d"))
}

func TestLinesAreThoseOfSlog(t *testing.T) {
	now := time.Now()
	sameAsSlog(t, usualLine(now))
	sameAsSlog(t, usualLine(now), slog.String("a", "b"))
	for _, s := range []string{"", "a", "a b", "a=b", `"`, `\`, "\x00", "\n", "\x7f", "é", "\u2028", "\xff", "<>&", "/files/?a=b"} {
		sameAsSlog(t, logRecord(now, slog.LevelInfo, s))
		sameAsSlog(t, logRecord(now, slog.LevelInfo, "x", slog.String(s, "value"), slog.String("key", s)))
	}
	for _, value := range []slog.Value{
		slog.IntValue(-1), slog.Uint64Value(1<<64 - 1), slog.BoolValue(true), slog.Float64Value(1.5), slog.TimeValue(now),
		slog.DurationValue(0), slog.DurationValue(-1), slog.DurationValue(1500), slog.DurationValue(1<<63 - 1), slog.AnyValue(nil),
		slog.AnyValue(errors.New("trouble, with a comma")), slog.GroupValue(), slog.GroupValue(slog.Int("in", 1)), {},
	} {
		sameAsSlog(t, logRecord(now, slog.LevelInfo, "x", slog.Attr{Key: "key", Value: value}))
		sameAsSlog(t, logRecord(now, slog.LevelInfo, "x", slog.Attr{Value: value}))
	}
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelWarn, slog.LevelError, slog.LevelError + 1, slog.LevelInfo - 1} {
		sameAsSlog(t, logRecord(now, level, "x"))
	}
}

func TestTimesOfLinesAreThoseOfSlog(t *testing.T) {
	for _, zone := range []*time.Location{time.UTC, time.Local, time.FixedZone("", -90*60)} {
		for _, year := range []int{-1, 0, 1, 2026, 9999, 10000} {
			for _, nanoseconds := range []int{0, 1, 1e6 - 1, 1e6, 12e7, 1e9 - 1} {
				sameAsSlog(t, usualLine(time.Date(year, 12, 31, 23, 59, 59, nanoseconds, zone)))
			}
		}
	}
	sameAsSlog(t, usualLine(time.Time{}))
}

// The usual line is not left to package slog: that would be slow and no other
// test would see it.
func TestUsualLinesAreOurs(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		h := newLogHandler(io.Discard, format, slog.LevelInfo).(*lineHandler)
		h.Handler = nil
		if err := h.Handle(context.Background(), usualLine(time.Now())); err != nil {
			t.Error(err)
		}
	}
}

func FuzzLinesAreThoseOfSlog(f *testing.F) {
	f.Add("request", "path", "/files/a", int64(1234567))
	f.Add("", "a=b", "é\xff", int64(-1))
	f.Fuzz(func(t *testing.T, message, key, value string, n int64) {
		sameAsSlog(t, logRecord(time.Unix(0, n), slog.LevelInfo, message,
			slog.String(key, value), slog.String("value", key), slog.Duration("dur", time.Duration(n)), slog.Int64("n", n)))
	})
}

func BenchmarkLine(b *testing.B) {
	for _, format := range []string{"text", "json"} {
		h := newLogHandler(io.Discard, format, slog.LevelInfo)
		r := usualLine(time.Now())
		for name, handler := range map[string]slog.Handler{"ours": h, "slog": h.(*lineHandler).Handler} {
			b.Run(format+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					handler.Handle(context.Background(), r)
				}
			})
		}
	}
}
