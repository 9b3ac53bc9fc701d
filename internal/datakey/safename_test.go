package datakey_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/tus/tusd/internal/datakey"
)

func TestSafeName(t *testing.T) {
	for name, want := range map[string]string{
		"report.pdf": "report.pdf", "a b+c (1).pdf": "a_b_c_(1).pdf", "": "file", "...": "file", "../../etc/passwd": "_.._etc_passwd", "a\x00\r\n": "a___",
		"x.info": "x.info_", "x.LOCK": "x.LOCK_", ".tusd.locks": "tusd.locks", "con.txt": "_con.txt", "a.": "a", "späße": "späße",
		// Combining marks are kept.
		"हिन्दी.txt": "हिन्दी.txt", "ภาษาไทย.txt": "ภาษาไทย.txt", "ไม้เอก": "ไม้เอก", "தமிழ்.pdf": "தமிழ்.pdf", "বাংলা": "বাংলা",
		"e\u0301te\u0301.txt": "e\u0301te\u0301.txt", "Việt": "Việt", "Vie\u0323\u0302t": "Vie\u0323\u0302t", "שָׁלוֹם": "שָׁלוֹם", "مُحَمَّد": "مُحَمَّد", "한글": "한글",
		"\u1112\u1161\u11ab": "\u1112\u1161\u11ab", "မြန်မာ": "မြန်မာ", "ខ្មែរ": "ខ្មែរ", "葛\U000e0100": "葛\U000e0100", "1\ufe0f\u20e3": "1\ufe0f\u20e3",
		// Joiners are kept only within words.
		"می\u200cخواهم.doc": "می\u200cخواهم.doc", "क्\u200dष": "क्\u200dष", "\u200da": "_a", "a\u200d": "a_", "a\u200d.txt": "a_.txt", "a\u200d\u200db": "a__b", "nul.x.info": "_nul.x.info_",
		// Marks without letters; invisible characters, and those that change the direction of text.
		"\u0301a": "_a", ".\u0301": "_", "a-\u0301": "a-_", "photo\u202egpj.exe": "photo_gpj.exe", "a\u2066b\u2069": "a_b_", "a\u200fb": "a_b",
		"a\u200bb": "a_b", "a\ufeffb": "a_b", "a\u0085b": "a_b", "a\u2028b": "a_b", "a\ufffeb": "a_b", "a\U000e0041b": "a_b", "\xffa": "_a",
	} {
		if got := datakey.SafeName(name); got != want {
			t.Errorf("%q (%+q) becomes %+q, want %+q", name, name, got, want)
		}
	}
}

// A long name is cut at its beginning, and not between a letter and its mark.
func TestLongSafeNames(t *testing.T) {
	if got, want := datakey.SafeName(strings.Repeat("ä", 400)+".txt"), strings.Repeat("ä", 72)+".txt"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for n := range 40 { // the cut moves through the letters
		got := datakey.SafeName(strings.Repeat("हि", 400) + strings.Repeat("x", n))
		first, _ := utf8.DecodeRuneInString(got)
		if unicode.IsMark(first) || len(got) > datakey.MaxSafeName || len(got) < datakey.MaxSafeName-10 {
			t.Errorf("cut to %d bytes: %q", len(got), got)
		}
	}
}

func FuzzSafeName(f *testing.F) {
	for _, seed := range []string{"a.txt", "..", "/", "x.info", ".tusd", "\xff\xfe", "a\x00b", strings.Repeat("ü", 200), " . ", "हिन्दी", "\u200d", "con", "nul.x.info", "\u0301.lock"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		safe := datakey.SafeName(name)
		bad := func(r rune) bool {
			return unicode.IsControl(r) || datakey.IsBidi(r) || strings.ContainsRune(`/\:*?"<>|`, r) || r == utf8.RuneError
		}
		if safe == "" || len(safe) > datakey.MaxSafeName || strings.ContainsFunc(safe, bad) || safe[0] == '.' || datakey.ReservedAnyCase(safe) || strings.TrimRight(safe, ". ") != safe {
			t.Errorf("%q becomes %q", name, safe)
		}
		if err := datakey.Check("{id}/" + safe); err != nil {
			t.Errorf("%q becomes %q: %v", name, safe, err)
		}
	})
}
