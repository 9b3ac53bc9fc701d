package loglimit

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCut(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"12345678", "12345678"},
		{"123456789", "12345678…(+1 bytes)"},
		{"1234567é9", "1234567…(+3 bytes)"}, // a character is not split
		{strings.Repeat("\x80", 9), strings.Repeat("\x80", 4) + "…(+5 bytes)"},
	} {
		if got := Cut(c.text, 8); got != c.want {
			t.Errorf("%q is cut to %q, want %q", c.text, got, c.want)
		}
	}
	if cut := Cut(strings.Repeat("日本", 1000), Text); !utf8.ValidString(cut) {
		t.Errorf("a character is split: %q", cut[len(cut)-20:])
	}
}

type stringer string

func (s stringer) String() string { return string(s) }

type valuer string

func (s valuer) LogValue() slog.Value { return slog.StringValue(string(s)) }

// The line of a long value of any type is bounded. Short values are not changed.
func TestLinesAreBounded(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for name, value := range map[string]func(string) any{
		"string":   func(s string) any { return s },
		"error":    func(s string) any { return errors.New(s) },
		"stringer": func(s string) any { return stringer(s) },
		"valuer":   func(s string) any { return valuer(s) },
		"strings":  func(s string) any { return []string{s} },
		"group":    func(s string) any { return slog.GroupValue(slog.String("a", s)) },
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			log := slog.New(NewHandler(slog.NewTextHandler(&out, nil)))
			log.Info("message", "n", 1, "key", value(long), "after", 2)
			if line := out.String(); len(line) > Text+200 || !strings.Contains(line, " bytes)") || !strings.Contains(line, "after=2") {
				t.Errorf("%d bytes: %.80s ... %s", len(line), line, line[max(0, len(line)-80):])
			}
			out.Reset()
			log.Info("message", "key", value("short"))
			if line := out.String(); !strings.Contains(line, "short") {
				t.Errorf("line: %s", line)
			}
		})
	}
	for level, want := range map[slog.Level]int{slog.LevelInfo: Text, slog.LevelWarn: Text, slog.LevelError: ErrorText} {
		var out bytes.Buffer
		slog.New(NewHandler(slog.NewTextHandler(&out, nil)).WithAttrs(nil)).Log(t.Context(), level, long)
		if n := out.Len(); n < want || n > want+100 {
			t.Errorf("%v: a long message has a line of %d bytes, want about %d", level, n, want)
		}
	}
}
