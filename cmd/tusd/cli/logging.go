package cli

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/bits"
	"net/netip"
	"strconv"
	"sync"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tus/tusd/internal/loglimit"
)

// startLog returns a logger that writes to sink through a queue: no request
// waits for the log, and no client can fill it. format is "json", or anything
// else for text, as in tusd v2. With verbose the level is DEBUG, otherwise
// INFO. The caller closes the queue after the last line. docs/logs.md lists the
// lines.
func startLog(sink io.Writer, format string, verbose bool) (*slog.Logger, *logQueue) {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	direct := newLogHandler(sink, format, level)
	queue := newLogQueue(sink, func(lost logLosses) error { return direct.Handle(context.Background(), lossRecord(lost)) })
	return slog.New(loglimit.NewHandler(newQueuedHandler(queue, format, level))), queue
}

func newLogHandler(w io.Writer, format string, level slog.Level) slog.Handler {
	options := &slog.HandlerOptions{Level: level}
	if format == jsonFormat {
		return slog.NewJSONHandler(w, options)
	}
	return slog.NewTextHandler(w, options)
}

// lossRecord returns the line that says that lines were lost. If only clients
// over their share have lost lines, it is no warning.
func lossRecord(lost logLosses) slog.Record {
	level, message := slog.LevelWarn, "log lines are missing here: the log was not read fast enough, or could not be written"
	if lost.lines == lost.overShare {
		level, message = slog.LevelInfo, "log lines are missing here: a client has caused more than its share"
	}
	record := slog.NewRecord(time.Now(), level, message, 0)
	record.AddAttrs(slog.Uint64("lost", lost.lines), slog.Uint64("over_share", lost.overShare))
	return record
}

// queuedHandler formats lines and puts them into the queue, each with its
// source.
type queuedHandler struct {
	enabled slog.Handler
	spare   *sync.Pool // of *formatter
}

// formatter is a handler of slog and the writer behind it. It is used for one
// line at a time, so that it knows the source of the line.
type formatter struct {
	slog.Handler
	queue *logQueue
	from  logSource
}

func (f *formatter) Write(line []byte) (int, error) {
	f.queue.put(plainText(line), f.from)
	return len(line), nil
}

// plainText escapes characters that a terminal may act on and that JSON allows
// in strings: control characters beyond ASCII, and those that change the
// direction of text. The text format has none of them. It returns line itself
// if there is nothing to escape.
func plainText(line []byte) []byte {
	done := plainPrefix(line)
	if done == len(line) {
		return line
	}
	plain := append(make([]byte, 0, 2*len(line)), line[:done]...)
	for _, r := range string(line[done:]) {
		switch {
		case isPlain(r):
			plain = utf8.AppendRune(plain, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			plain = fmt.Appendf(plain, `\u%04x\u%04x`, high, low)
		default:
			plain = fmt.Appendf(plain, `\u%04x`, r)
		}
	}
	return plain
}

func isPlain(r rune) bool { return r < 0x7f || strconv.IsPrint(r) }

// plainPrefix returns the length of the prefix of line that needs no escapes.
// Every line is checked, and most are ASCII but for the µ of a duration.
func plainPrefix(line []byte) int {
	n := 0
	for {
		n += asciiPrefix(line[n:])
		if n == len(line) {
			return n
		}
		r, size := utf8.DecodeRune(line[n:])
		if !isPlain(r) || size == 1 {
			return n
		}
		n += size
	}
}

// asciiPrefix returns how many bytes at the start of line are below 0x7f. It
// checks eight at a time.
func asciiPrefix(line []byte) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; len(line)-n >= 8; n += 8 {
		eight := binary.LittleEndian.Uint64(line[n:])
		if odd := (eight | (eight + ones)) & tops; odd != 0 {
			return n + bits.TrailingZeros64(odd)/8
		}
	}
	for n < len(line) && line[n] < 0x7f {
		n++
	}
	return n
}

func newQueuedHandler(queue *logQueue, format string, level slog.Level) *queuedHandler {
	return makeQueuedHandler(func() *formatter {
		f := &formatter{queue: queue}
		f.Handler = newLogHandler(f, format, level)
		return f
	})
}

func makeQueuedHandler(newFormatter func() *formatter) *queuedHandler {
	return &queuedHandler{enabled: newFormatter(), spare: &sync.Pool{New: func() any { return newFormatter() }}}
}

func (h *queuedHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.enabled.Enabled(ctx, level)
}

func (h *queuedHandler) Handle(ctx context.Context, r slog.Record) error {
	f := h.spare.Get().(*formatter)
	f.from = sourceOf(r)
	err := f.Handler.Handle(ctx, r)
	h.spare.Put(f)
	return err
}

func (h *queuedHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.with(func(inner slog.Handler) slog.Handler { return inner.WithAttrs(attrs) })
}

func (h *queuedHandler) WithGroup(name string) slog.Handler {
	return h.with(func(inner slog.Handler) slog.Handler { return inner.WithGroup(name) })
}

func (h *queuedHandler) with(change func(slog.Handler) slog.Handler) slog.Handler {
	return makeQueuedHandler(func() *formatter {
		f := h.spare.New().(*formatter)
		f.Handler = change(f.Handler)
		return f
	})
}

// clientKey is the key of the client in a line.
const clientKey = "client"

// sourceOf returns the source that a line is charged to.
func sourceOf(r slog.Record) (from logSource) {
	if from.class = ownLines; r.Level < slog.LevelWarn {
		from.class = clientLines
	}
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == clientKey {
			from.shared, from.client = true, clientOf(a.Value)
		}
		return !from.shared
	})
	if !from.shared {
		from.class = ownLines
	}
	return from
}

// clientOf returns what counts as one client: an address of IPv4, or the
// network of IPv6 that one subscriber has.
func clientOf(v slog.Value) netip.Prefix {
	if v.Kind() == slog.KindAny { // Any of another kind is allocated
		if prefix, ok := v.Any().(netip.Prefix); ok {
			return prefix
		}
	}
	addr, err := netip.ParseAddr(v.String())
	if err != nil {
		return netip.Prefix{}
	}
	length := 32
	if addr.Is6() {
		length = 64
	}
	prefix, _ := addr.Prefix(length)
	return prefix
}
