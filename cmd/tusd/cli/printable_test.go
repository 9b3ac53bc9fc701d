package cli

import (
	"encoding/json"
	"testing"
	"time"
)

// Texts of clients cannot move the cursor, change colours, or turn the direction of a line.
func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "",
		"Übergröße ☃ 😀 é.txt":    "Übergröße ☃ 😀 é.txt",
		"a\r\nb\tc\x00":          `a\x0d\x0ab\x09c\x00`,
		"\x1b[31mred\x1b]0;x\a":  `\x1b[31mred\x1b]0;x\x07`,
		"\x9b2J\u009b2J":         `\x9b2J\u009b2J`,
		"a\u202eb\u2066c\u200f":  `a\u202eb\u2066c\u200f`,
		"\u2028\ufeff\U000e0001": `\u2028\ufeff\U000e0001`,
	} {
		if got := printable(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// JSON for a terminal has the same value as before.
func TestPrintableJSON(t *testing.T) {
	for _, value := range []string{"a\u202eb\x7f\u009b2J", "\U000e0001 😀", "<&> \"\\ \n"} {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		safe := printableJSON(string(text) + "\n")
		var got string
		if err := json.Unmarshal([]byte(safe), &got); err != nil || got != value {
			t.Errorf("%q became %s, which is %q, %v", value, safe, got, err)
		}
		if safe != printable(safe[:len(safe)-1])+"\n" {
			t.Errorf("%q is not printable: %q", value, safe)
		}
	}
}

func TestShortForms(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 59 * time.Second: "59s", time.Minute: "1m", 89 * time.Minute: "1h", 47 * time.Hour: "1d", 1000 * 24 * time.Hour: "1000d",
	} {
		if got := shortDuration(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	for n, want := range map[int64]string{-1: "?", 0: "0", 1023: "1023", 1024: "1.0K", 1536: "1.5K", 100 << 20: "100M", 10 << 30: "10.0G", 1<<63 - 1: "8.0E"} {
		if got := shortSize(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
