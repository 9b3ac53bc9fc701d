package datakey_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd/internal/datakey"
)

// templates has the templates that every store accepts (true) or refuses.
var templates = map[string]bool{
	"": true, "{id}": true, "{date}/{id}/{filename}": true, "raw/{id}.{filename}": true, "{id}{filename}": true, "a{id}b": true, "{id}/{id}": true,
	"हिन्दी/{id}": true, "a b/{id}": true, ".{id}": true, "console/{id}": true, "com/{id}": true, "com10/{id}": true, "...{id}": true,

	// Two uploads would have the same key, or the key is not below the directory.
	"a/{id}/..": false, "{id}/..": false, "{id}/../a": false, "a/../{id}": false, "../{id}": false, "..": false, "{id}/.": false,
	"./{id}": false, "a/./{id}": false, "a//{id}": false, "{id}//a": false, "/{id}": false, "{id}/": false, "/": false, "//{id}": false,
	"{filename}": false, "{date}": false, "a": false, "{ID}": false, "{ id }": false, "{id": false, "id}": false,
	`a\{id}`: false, `{id}\..`: false, `C:\{id}`: false, "c:{id}": false, "C:/{id}": false, "{id}:a": false,
	// Names that the store or Windows reserves, and invalid names.
	"{id}.info": false, "{id}.INFO": false, "{id}.part": false, "{id}.lock": false, "{id}.stop": false, "{id}.undo": false, "a.info/{id}": false,
	".tusd.d/{id}": false, ".TUSD/{id}": false, "a/.tusd{id}": false,
	"con/{id}": false, "{id}/NUL": false, "Aux.txt/{id}": false, "com1/{id}": false, "LPT9.a/{id}": false, "prn /{id}": false,
	"{id}.": false, "{id} ": false, "a./{id}": false, "a /{id}": false, "{id}...": false,
	"{id}*": false, "{id}?": false, "<{id}>": false, `"{id}"`: false, "a|{id}": false,
	// Invisible characters.
	"{id}\x00": false, "{id}\n": false, "a\x01/{id}": false, "a\x7f{id}": false, "\u0085{id}": false, "\xff{id}": false, "a\u202e{id}": false, "\u2066{id}": false,
	// Unknown placeholders, and too long.
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

func TestExpand(t *testing.T) {
	got := datakey.Expand("{date}/{id}/{filename}", datakey.Upload{ID: "{filename}", Created: time.Date(2026, 11, 29, 23, 0, 0, 0, time.FixedZone("", -2*3600)), Filename: "{id} 1.txt"})
	if want := "2026-11-30/{filename}/_id__1.txt"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestIDIn(t *testing.T) {
	for template, names := range map[string]map[string]string{
		"{id}":                       {"a": "a", "a/b": "", "": ""},
		"raw/{date}/{id}/{filename}": {"raw/2026-11-30/a/f.txt": "a", "new/2026-11-30/a/f.txt": "", "raw/2026-11-30/a": "", "raw/x/a/b/c": ""},
		"{id}/{id}.bin":              {"a/a.bin": ""},
		"{id}/{id}":                  {"a/a": "a", "a/b": ""},
		"{filename}{id}":             {"fa": ""},
	} {
		for name, want := range names {
			if id, ok := datakey.IDIn(template, name); id != want && ok || ok != (want != "") {
				t.Errorf("the id in %q of %q is %q, %t, want %q", name, template, id, ok, want)
			}
		}
	}
}
