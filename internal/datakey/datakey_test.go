package datakey_test

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/datakey"
)

// templates are those that each store takes, and those that it refuses.
var templates = map[string]bool{
	"": true, "{id}": true, "{date}/{id}/{filename}": true, "raw/{id}.{filename}": true, "{id}{filename}": true, "a{id}b": true, "{id}/{id}": true,
	"हिन्दी/{id}": true, "a b/{id}": true, ".{id}": true, "console/{id}": true, "com/{id}": true, "com10/{id}": true, "...{id}": true,

	// Two uploads would have one place, or not one below the directory.
	"a/{id}/..": false, "{id}/..": false, "{id}/../a": false, "a/../{id}": false, "../{id}": false, "..": false, "{id}/.": false,
	"./{id}": false, "a/./{id}": false, "a//{id}": false, "{id}//a": false, "/{id}": false, "{id}/": false, "/": false, "//{id}": false,
	"{filename}": false, "{date}": false, "a": false, "{ID}": false, "{ id }": false, "{id": false, "id}": false,
	`a\{id}`: false, `{id}\..`: false, `C:\{id}`: false, "c:{id}": false, "C:/{id}": false, "{id}:a": false,
	// Names that the store or Windows uses, or that cannot be.
	"{id}.info": false, "{id}.INFO": false, "{id}.part": false, "{id}.lock": false, "{id}.stop": false, "{id}.undo": false, "a.info/{id}": false,
	".tusd.d/{id}": false, ".TUSD/{id}": false, "a/.tusd{id}": false,
	"con/{id}": false, "{id}/NUL": false, "Aux.txt/{id}": false, "com1/{id}": false, "LPT9.a/{id}": false, "prn /{id}": false,
	"{id}.": false, "{id} ": false, "a./{id}": false, "a /{id}": false, "{id}...": false,
	"{id}*": false, "{id}?": false, "<{id}>": false, `"{id}"`: false, "a|{id}": false,
	// What nobody can see.
	"{id}\x00": false, "{id}\n": false, "a\x01/{id}": false, "a\x7f{id}": false, "\u0085{id}": false, "\xff{id}": false, "a\u202e{id}": false, "\u2066{id}": false,
	// Others in braces, and what is too long.
	"{id}/{name}": false, "{id}/{": false, "{{id}}": false,
	strings.Repeat("x", 223) + "{id}": true, strings.Repeat("x", 224) + "{id}": false, strings.Repeat("x/", 484) + "{id}": true, strings.Repeat("x/", 485) + "{id}": false,
}

func TestCheck(t *testing.T) {
	for template, good := range templates {
		if err := datakey.Check(template); (err == nil) != good {
			t.Errorf("%q: %v", template, err)
		}
	}
}

// What the store keeps for itself can be no id either.
func TestReservedIsNoID(t *testing.T) {
	for _, name := range append([]string{".tusd", ".tusd.d"}, datakey.ReservedSuffixes...) {
		if name = strings.TrimPrefix("x"+name, "x"+".tusd"); name == "" || name == ".d" {
			name = ".tusd" + name
		}
		if tusd.ValidateID(name) == nil || !datakey.Reserved(name) {
			t.Errorf("%s can be an id, or is not reserved", name)
		}
	}
}

func TestSafeName(t *testing.T) {
	for name, want := range map[string]string{
		"report.pdf": "report.pdf", "": "file", "...": "file", "../../etc/passwd": "_.._etc_passwd", "a\x00\r\n": "a___",
		"x.info": "x.info_", "x.LOCK": "x.LOCK_", ".tusd.locks": "tusd.locks", "con.txt": "_con.txt", "a.": "a", "späße": "späße",
		// Marks belong to their letters.
		"हिन्दी.txt": "हिन्दी.txt", "ภาษาไทย.txt": "ภาษาไทย.txt", "ไม้เอก": "ไม้เอก", "தமிழ்.pdf": "தமிழ்.pdf", "বাংলা": "বাংলা",
		"e\u0301te\u0301.txt": "e\u0301te\u0301.txt", "Việt": "Việt", "Vie\u0323\u0302t": "Vie\u0323\u0302t", "שָׁלוֹם": "שָׁלוֹם", "مُحَمَّد": "مُحَمَّد", "한글": "한글",
		"\u1112\u1161\u11ab": "\u1112\u1161\u11ab", "မြန်မာ": "မြန်မာ", "ខ្មែរ": "ខ្មែរ", "葛\U000e0100": "葛\U000e0100", "1\ufe0f\u20e3": "1\ufe0f\u20e3",
		// Joiners within words, nowhere else.
		"می\u200cخواهم.doc": "می\u200cخواهم.doc", "क्\u200dष": "क्\u200dष", "\u200da": "_a", "a\u200d": "a_", "a\u200d.txt": "a_.txt", "a\u200d\u200db": "a__b", "nul.x.info": "_nul.x.info_",
		// Marks without letters, and what turns or hides text.
		"\u0301a": "_a", ".\u0301": "_", "a-\u0301": "a-_", "photo\u202egpj.exe": "photo_gpj.exe", "a\u2066b\u2069": "a_b_", "a\u200fb": "a_b",
		"a\u200bb": "a_b", "a\ufeffb": "a_b", "a\u0085b": "a_b", "a\u2028b": "a_b", "a\ufffeb": "a_b", "a\U000e0041b": "a_b", "\xffa": "_a",
	} {
		if got := datakey.SafeName(name, "._-", 100); got != want {
			t.Errorf("%q (%+q) becomes %+q, want %+q", name, name, got, want)
		}
	}
}

// A long name keeps its end, and no mark loses its letter.
func TestSafeNameIsCut(t *testing.T) {
	if got, want := datakey.SafeName(strings.Repeat("ä", 400)+".txt", ".", 11), "äää.txt"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for limit := range 40 {
		got := datakey.SafeName(strings.Repeat("हि", 400), "", limit)
		first, _ := utf8.DecodeRuneInString(got)
		if unicode.IsMark(first) || len(got) > max(limit, len("file")) {
			t.Errorf("cut to %d bytes: %q", limit, got)
		}
	}
}

func TestExpand(t *testing.T) {
	got := datakey.Expand("{date}/{id}/{filename}", datakey.Upload{ID: "{filename}", Created: time.Date(2026, 11, 29, 23, 0, 0, 0, time.FixedZone("", -2*3600)), Filename: "{id}"})
	if want := "2026-11-30/{filename}/{id}"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func FuzzSafeName(f *testing.F) {
	for _, seed := range []string{"a.txt", "..", "/", "x.info", ".tusd", "\xff\xfe", "a\x00b", strings.Repeat("ü", 200), " . ", "हिन्दी", "\u200d", "con", "nul.x.info", "\u0301.lock"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		const limit = 100
		safe := datakey.SafeName(name, "._- ", limit)
		bad := func(r rune) bool {
			return unicode.IsControl(r) || datakey.IsBidi(r) || strings.ContainsRune(`/\:*?"<>|`, r) || r == utf8.RuneError
		}
		if safe == "" || len(safe) > limit+2 || strings.ContainsFunc(safe, bad) || safe[0] == '.' || datakey.Reserved(safe) || strings.TrimRight(safe, ". ") != safe {
			t.Errorf("%q becomes %q", name, safe)
		}
		if err := datakey.Check("{id}/" + safe); err != nil {
			t.Errorf("%q becomes %q: %v", name, safe, err)
		}
	})
}
