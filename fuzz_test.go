package tusd_test

import (
	"encoding/base64"
	"mime"
	"strconv"
	"strings"
	"testing"

	"github.com/tus/tusd"
)

// Fuzz targets for all parsers of client input. .ci/run uses the inputs of the corpus;
// .ci/fuzz searches for new ones.

func FuzzParseID(f *testing.F) {
	for _, seed := range []string{"abc", "a/b", "a%2Fb", "..", "%2e%2e", "a%00b", "a%252Fb", "a+b", "a%2Bb", "x.info", ".tusd.locks",
		"a//b", "/a", "a/", "%", "%zz", "\xff", strings.Repeat("a", 5000), "a%0D%0Ab", `a\b`, "C:"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, escaped string) {
		id, err := tusd.ParseID(escaped)
		if err != nil {
			return
		}
		if err := tusd.ValidateID(id); err != nil {
			t.Errorf("parseID(%q) = %q, which is invalid: %v", escaped, id, err)
		}
		for segment := range strings.SplitSeq(id, "/") {
			if segment == "" || segment == "." || segment == ".." || strings.ContainsAny(segment, "\x00\\\r\n") {
				t.Errorf("parseID(%q) accepts the segment %q", escaped, segment)
			}
		}
		if again, err := tusd.ParseID(tusd.EscapeID(id)); err != nil || again != id {
			t.Errorf("%q is parsed from its own URL as %q, %v", id, again, err)
		}
	})
}

func FuzzParseMetaData(f *testing.F) {
	for _, seed := range []string{"", "filename d29ybGQ=,is_secret", "k ", "k", ",", " v", "a b c", "k !!!", "k YQ==,k YQ==", "k YQ", "ü YQ==", "a YQ==, b YQ=="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		pairs, err := tusd.ParseMetaData(raw)
		if err != nil {
			return
		}
		again, err := tusd.ParseMetaData(tusd.SerializeMetaData(pairs))
		if err != nil || len(again) != len(pairs) {
			t.Fatalf("%q changes when it is written and read: %v, %v", raw, again, err)
		}
		for key, value := range pairs {
			if again[key] != value {
				t.Errorf("%q: key %q is %q, written and read %q", raw, key, value, again[key])
			}
		}
	})
}

func FuzzParsePartials(f *testing.F) {
	for _, seed := range []string{"/files/a /files/b", "http://host/files/a", "http://other/files/a", "a", "../files/a", "/files/../x", "//host/files/a",
		"/files/a?x", "/files/a#x", "http://u@host/files/a", "", " ", "/files/", "/files/%2e%2e/a", "http://[::1/files/a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		ids, err := tusd.ParsePartials(list, "http://host", "/files/", 1000)
		if err != nil {
			return
		}
		if len(ids) == 0 {
			t.Errorf("%q names no upload and is accepted", list)
		}
		for _, id := range ids {
			if err := tusd.ValidateID(id); err != nil {
				t.Errorf("%q names the invalid id %q", list, id)
			}
		}
	})
}

func FuzzParseInteger(f *testing.F) {
	for _, seed := range []string{"0", "00", "100", "-1", "+1", "1.5", "0x0", "", "9223372036854775807", "9223372036854775808", "99999999999999999999", " 1", "1,2", "１"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := tusd.ParseInteger(s)
		want, wantErr := strconv.ParseInt(s, 10, 64)
		valid := wantErr == nil && len(s) <= 19 && strings.Trim(s, "0123456789") == ""
		if (err == nil) != valid || valid && n != want {
			t.Errorf("parseInteger(%q) = %d, %v", s, n, err)
		}
	})
}

func FuzzContentHeaders(f *testing.F) {
	for _, seed := range [][2]string{{"a.txt", "text/plain"}, {"\r\nX: y", "text/html"}, {`"; x="`, "image/svg+xml"}, {"späße.png", "image/png; a=b"},
		{"\x00", "a/b\r\nc: d"}, {"%41", "text/plain; charset=\"\r\n\""}, {"\xff", "/"}, {"a", "a/b; c=\"d\te\""}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, name, filetype string) {
		contentType, disposition := tusd.ContentHeaders(tusd.MetaData{"filename": name, "filetype": filetype})
		for _, value := range []string{contentType, disposition} {
			if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
				t.Errorf("name %q, type %q: %q cannot stand in a header", name, filetype, value)
			}
		}
		if _, _, err := mime.ParseMediaType(disposition); err != nil {
			t.Errorf("name %q: %q does not parse: %v", name, disposition, err)
		}
		if strings.HasPrefix(disposition, "inline") && (strings.Contains(contentType, "html") || strings.Contains(contentType, "svg")) {
			t.Errorf("type %q is inline as %q", filetype, contentType)
		}
	})
}

func FuzzRequestID(f *testing.F) {
	for _, seed := range []string{"", "abc-123", "a b", "\r\n", strings.Repeat("x", 37)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		id := tusd.RequestID(given)
		if id == "" || len(id) > 36 || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			t.Errorf("requestID(%q) = %q", given, id)
		}
	})
}

func FuzzParseChecksum(f *testing.F) {
	for _, seed := range []string{"sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", "sha1", "sha1 ", "sha1  YQ==", "SHA1 YQ==", "md5 !!", "crc32 YQ", "sha1 YQ==\r\n", "sha1 YR=="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		name, want, err := tusd.ParseChecksum(value)
		const longest = 69 // a longer checksum is cut to this
		written := name + " " + base64.StdEncoding.EncodeToString(want)
		if err == nil && (written != value && len(want) < longest || !strings.HasPrefix(value, written)) {
			t.Errorf("%q is read as %s %x", value, name, want)
		}
	})
}
