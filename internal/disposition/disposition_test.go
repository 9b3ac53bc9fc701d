package disposition_test

import (
	"mime"
	"strings"
	"testing"
	"unicode"

	"github.com/tus/tusd/internal/datakey"
	"github.com/tus/tusd/internal/disposition"
)

func TestFormat(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"":             `attachment`,
		"a.txt":        `attachment; filename="a.txt"`,
		"für dich.txt": `attachment; filename="f_r dich.txt"; filename*=UTF-8''f%C3%BCr%20dich.txt`,
		`"a"%41`:       `attachment; filename="_a__41"; filename*=UTF-8''%22a%22%2541`,
		"../a\\b\r\nc": `attachment; filename=".._a_b__c"`,
		"a\u202egpj":   `attachment; filename="a_gpj"`,
	} {
		if got := disposition.Format("attachment", name); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
	if got := disposition.Format("inline", "a"); got != `inline; filename="a"` {
		t.Error(got)
	}
}

func FuzzFormat(f *testing.F) {
	for _, seed := range []string{"a.txt", "\r\nX: y", `"; x="`, "späße.png", "\x00", "%41", "\xff", "a\u202eb"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		value := disposition.Format("attachment", name)
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
			t.Errorf("name %q: %q cannot stand in a header", name, value)
		}
		_, params, err := mime.ParseMediaType(value)
		if err != nil {
			t.Fatalf("name %q: %q does not parse: %v", name, value, err)
		}
		if got := params["filename"]; strings.ContainsFunc(got, func(r rune) bool {
			return unicode.IsControl(r) || datakey.IsBidi(r) || r == '/' || r == '\\'
		}) {
			t.Errorf("name %q: %q has characters of a path", name, got)
		}
	})
}
