package structured_test

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/structured"
)

// fieldCase is a field with its lines.
type fieldCase struct {
	lines []string
	want  int64 // -1: as if absent
}

var integerCases = []fieldCase{
	{nil, -1},
	{[]string{"5"}, 5},
	{[]string{" 5  "}, 5},
	{[]string{"0"}, 0},
	{[]string{"007"}, 7},
	{[]string{"999999999999999"}, 999999999999999},
	{[]string{"000000000000001"}, 1},
	{[]string{"5;a=1"}, 5},
	{[]string{"5;a"}, 5},
	{[]string{"5; a=?1;b=token;*c=:YQ==:"}, 5},
	{[]string{`5;a="b c;d,e"`}, 5},
	{[]string{`5;a="\"";b`}, 5},
	{[]string{"5;a=-1.5;b=@12"}, 5},

	{[]string{"1000000000000000"}, -1}, // 16 digits
	{[]string{"0000000000000005"}, -1},
	{[]string{"5.0"}, -1},
	{[]string{`"5"`}, -1},
	{[]string{"+5"}, -1},
	{[]string{"-5"}, -1},
	{[]string{"0x5"}, -1},
	{[]string{"5e1"}, -1},
	{[]string{"5 5"}, -1},
	{[]string{"5,5"}, -1},
	{[]string{"5 ;a=1"}, -1},
	{[]string{"5;"}, -1},
	{[]string{"5;A=1"}, -1},
	{[]string{"5;a="}, -1},
	{[]string{`5;a="b`}, -1},
	{[]string{`5;a="b\c"`}, -1},
	{[]string{"5;a=1 "}, 5},
	{[]string{"5;a=1,6"}, -1},
	{[]string{"5;a=:YQ:x"}, -1},
	{[]string{""}, -1},
	{[]string{" "}, -1},
	{[]string{"?1"}, -1},
	{[]string{"\u0665"}, -1},
	{[]string{"5", "5"}, -1},
	{[]string{"5", ""}, -1},
}

func TestIntegers(t *testing.T) {
	for _, c := range integerCases {
		got, ok := structured.Integer(http.Header{"Upload-Offset": c.lines}, "Upload-Offset")
		if ok != (c.want >= 0) || ok && got != c.want {
			t.Errorf("%q is read as %d, %v; want %d", c.lines, got, ok, c.want)
		}
	}
}

func TestBooleans(t *testing.T) {
	for _, c := range []fieldCase{
		{[]string{"?1"}, 1}, {[]string{"?0"}, 0}, {[]string{" ?1 "}, 1}, {[]string{"?1;a=1"}, 1}, {[]string{"?0;a"}, 0},
		{nil, -1}, {[]string{""}, -1}, {[]string{"1"}, -1}, {[]string{"true"}, -1}, {[]string{"?2"}, -1}, {[]string{"?"}, -1}, {[]string{"? 1"}, -1},
		{[]string{"?11"}, -1}, {[]string{"?1", "?1"}, -1}, {[]string{"?1, ?1"}, -1}, {[]string{`"?1"`}, -1}, {[]string{"?1 ;a"}, -1}, {[]string{"?T"}, -1},
	} {
		got, ok := structured.Bool(http.Header{"Upload-Complete": c.lines}, "Upload-Complete")
		if ok != (c.want >= 0) || got != (c.want == 1) {
			t.Errorf("%q is read as %v, %v; want %d", c.lines, got, ok, c.want)
		}
	}
}

func TestDictionaries(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  string // entries in the order of their names; "-": as if absent
	}{
		{nil, "-"},
		{[]string{""}, "-"},
		{[]string{"sha-256=:YQ==:"}, "sha-256:a"},
		{[]string{"sha-256=:YQ==:, md5=:Yg==:"}, "md5:b sha-256:a"},
		{[]string{"sha-256=:YQ==:", "md5=:Yg==:"}, "md5:b sha-256:a"},
		{[]string{"md5=:YQ==:\t,\tmd5=:Yg==:"}, "md5:b"},
		{[]string{"md5=:YQ==:;x=1;y"}, "md5:a"},
		{[]string{"md5=:Y Q==:"}, "-"},
		{[]string{"md5=:YQ:"}, "md5:a"}, // padding may be missing
		{[]string{"md5=:!!:"}, "-"},
		{[]string{"md5=:YQ==:,"}, "-"},
		{[]string{",md5=:YQ==:"}, "-"},
		{[]string{"md5=:YQ==:,,sha=:YQ==:"}, "-"},
		{[]string{"md5=:YQ=="}, "-"},
		{[]string{"MD5=:YQ==:"}, "-"},
		{[]string{"md5 =:YQ==:"}, "-"},
		{[]string{"md5= :YQ==:"}, "-"},
		{[]string{"md5=:YQ==:x"}, "-"},
		{[]string{"md5=::"}, "md5:"},
		{[]string{"sha-256=10, sha-512=3"}, "sha-256=10 sha-512=3"},
		{[]string{"sha-256=0;x"}, "sha-256=0"},
		{[]string{"sha-256"}, ""},             // true
		{[]string{"sha-256;x"}, ""},           // true
		{[]string{"sha-256, md5=1"}, "md5=1"}, // values of other types are ignored,
		{[]string{`x="a,b=", md5=1`}, "md5=1"},
		{[]string{"x=1.5, y=tok/en, z=?0, w=@1, md5=1"}, "md5=1"},
		{[]string{`x=(1 "b");c, md5=1`}, "md5=1"},
		{[]string{"md5=1, md5=tok"}, ""}, // but replace an earlier value of the key
		{[]string{"x=1.5.5, md5=1"}, "-"},
		{[]string{"x=(1, md5=1"}, "-"},
	} {
		entries, ok := dictionary(c.lines)
		got := "-"
		if ok {
			got = describe(entries)
		}
		if got != c.want {
			t.Errorf("%q is read as %q, want %q", c.lines, got, c.want)
		}
	}
}

// entry is one entry of a dictionary.
type entry struct {
	Bytes   []byte
	Integer int64
	IsBytes bool
}

// dictionary reads a dictionary. It returns the entries with integers and byte
// sequences.
func dictionary(values []string) (map[string]entry, bool) {
	entries := make(map[string]entry)
	ok := structured.Dictionary(values, func(key string, item structured.Item) {
		delete(entries, key)
		if item.Kind == structured.IsBytes || item.Kind == structured.IsInteger {
			entries[key] = entry{item.Bytes(69), item.Integer, item.Kind == structured.IsBytes}
		}
	})
	if !ok {
		return nil, false
	}
	return entries, true
}

func describe(entries map[string]entry) string {
	var list []string
	for _, name := range []string{"md5", "sha", "sha-256", "sha-512", "x", "y", "z", "w"} {
		switch e, there := entries[name]; {
		case there && e.IsBytes:
			list = append(list, name+":"+string(e.Bytes))
		case there:
			list = append(list, name+"="+strconv.FormatInt(e.Integer, 10))
		}
	}
	return strings.Join(list, " ")
}

func FuzzInteger(f *testing.F) {
	for _, c := range integerCases {
		f.Add(strings.Join(c.lines, " "))
	}
	f.Fuzz(func(t *testing.T, value string) {
		n, ok := structured.Integer(http.Header{"X": {value}}, "X")
		if !ok {
			return
		}
		bare, _, _ := strings.Cut(strings.Trim(value, " "), ";")
		if n < 0 || n > 999_999_999_999_999 || strings.TrimLeft(bare, "0") != strings.TrimLeft(strconv.FormatInt(n, 10), "0") {
			t.Errorf("%q is read as %d", value, n)
		}
		if again, ok := structured.Integer(http.Header{"X": {strconv.FormatInt(n, 10)}}, "X"); !ok || again != n {
			t.Errorf("%d is read as %d, %v", n, again, ok)
		}
	})
}

func FuzzBool(f *testing.F) {
	for _, seed := range []string{"?1", "?0", "?1;a=1", "?2", "true", "", "?1;a=\"x;y\"", "?1,?0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got, ok := structured.Bool(http.Header{"X": {value}}, "X")
		trimmed := strings.Trim(value, " ")
		if ok && !strings.HasPrefix(trimmed, map[bool]string{true: "?1", false: "?0"}[got]) || got && !ok {
			t.Errorf("%q is read as %v, %v", value, got, ok)
		}
	})
}

func FuzzDictionary(f *testing.F) {
	for _, seed := range []string{"sha-256=:YQ==:", "a=1, b=:YQ==:;x=1", "a", "a=", "a=,", "a=(1 2);b", `a="b,c"`, "a=1.5", "a=:", "a=(", "a=-1", "a=1,a=2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		entries, ok := dictionary([]string{value})
		if !ok && len(entries) > 0 {
			t.Errorf("%q does not parse and has entries", value)
		}
		for key, e := range entries {
			written := key + "=" + strconv.FormatInt(e.Integer, 10)
			if e.IsBytes {
				written = key + "=:" + base64.StdEncoding.EncodeToString(e.Bytes) + ":"
			}
			again, ok := dictionary([]string{written})
			if got := again[key]; !ok || got.IsBytes != e.IsBytes || got.Integer != e.Integer || string(got.Bytes) != string(e.Bytes) {
				t.Errorf("%q: the entry %q is read as %+v, written and read %+v", value, key, e, got)
			}
		}
	})
}
