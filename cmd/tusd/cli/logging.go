package cli

import (
	"context"
	"io"
	"log/slog"
	"time"
)

// startLog returns a logger that writes to sink through a queue: no request
// waits for the log. format is "json", or anything else for text, as in tusd
// v2; verbose logs what is for finding faults, too. The caller closes the
// queue when nothing more is logged. docs/logs.md says what the lines contain.
func startLog(sink io.Writer, format string, verbose bool) (*slog.Logger, *logQueue) {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	direct := newLogHandler(sink, format, level)
	queue := newLogQueue(sink, func(lost uint64) error { return direct.Handle(context.Background(), lostLines(lost)) })
	return slog.New(newLogHandler(queue, format, level)), queue
}

func newLogHandler(w io.Writer, format string, level slog.Level) slog.Handler {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.NewJSONHandler(w, options)
	}
	return slog.NewTextHandler(w, options)
}

// lostLines is the line that stands where others are missing.
func lostLines(n uint64) slog.Record {
	record := slog.NewRecord(time.Now(), slog.LevelWarn, "log lines are missing here: the log was not read fast enough, or could not be written", 0)
	record.AddAttrs(slog.Uint64("lost", n))
	return record
}
