package pluginhook

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// newLogger returns a logger for go-plugin that passes everything to log.
func newLogger(log *slog.Logger) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Trace})
	l.RegisterSink(sink{log})
	return l
}

// sink is a slog.Logger for hclog.
type sink struct{ log *slog.Logger }

var levels = map[hclog.Level]slog.Level{
	hclog.Trace: slog.LevelDebug - 4, hclog.Debug: slog.LevelDebug, hclog.Info: slog.LevelInfo, hclog.Warn: slog.LevelWarn, hclog.Error: slog.LevelError,
}

// Accept implements hclog.SinkAdapter. go-plugin has a named logger for what the plugin itself
// writes. It takes a line without a level for one of level debug. It warns of ends in which the
// plugin was faster than its answer.
func (s sink) Accept(name string, level hclog.Level, message string, args ...any) {
	switch {
	case name != "" && level == hclog.Debug && len(args) == 0 && !strings.Contains(message, "[DEBUG]"):
		level = hclog.Info
	case name == "" && level < hclog.Error:
		level = hclog.Debug
	}
	text := strings.Join(append([]string{message}, textsOf(args)...), " ")
	if name == "" {
		s.log.Log(context.Background(), levels[level], "go-plugin reports", "text", text)
	} else {
		s.log.Log(context.Background(), levels[level], output, "text", text)
	}
}

func textsOf(values []any) (texts []string) {
	for _, value := range values {
		texts = append(texts, fmt.Sprint(value))
	}
	return texts
}

// output is the message for a line that a plugin writes.
const output = "the plugin writes"

// lines logs what is written to it, line by line.
type lines struct {
	log  *slog.Logger
	rest []byte // without its end
}

// maxLine limits a line in memory, in bytes. A longer one is split.
const maxLine = 64 << 10

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, ended := bytes.Cut(l.rest, []byte("\n"))
		if !ended && len(line) < maxLine {
			return len(p), nil
		}
		l.log.Info(output, "text", string(line))
		l.rest = rest
	}
}
