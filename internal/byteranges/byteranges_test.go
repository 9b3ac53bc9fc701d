package byteranges

import (
	"strings"
	"testing"
)

func TestSimplify(t *testing.T) {
	const size = 10_000
	const none = "bytes=10000-" // cannot be satisfied
	many := "bytes=" + strings.Repeat("0-0,", maxRanges)
	for _, c := range []struct{ field, want string }{
		{"bytes=0-99", "bytes=0-99"},
		{"BYTES = 0-99", ""},
		{"Bytes=0-99", "bytes=0-99"},
		{"items=0-99", ""},
		{"0-99", ""},
		{"bytes=100-", "bytes=100-9999"},
		{"bytes=-100", "bytes=9900-9999"},
		{"bytes=-99999999999999999999999999", "bytes=0-9999"},
		{"bytes=5-99999999999999999999999999", "bytes=5-9999"},
		{"bytes=-0", none},
		{"bytes=10000-", none},
		{"bytes=9-5", none},
		{"bytes=-", none},
		{"bytes=a-b", none},
		{"bytes=+1-2", none},
		{"bytes=,, 0-1 ,", "bytes=0-1"},
		{"bytes=0-1,0-1", "bytes=0-1,0-1"}, // few stay as they are
		{many + "5-9", "bytes=0-9"},
		{many + "5000-5009", "bytes=0-0,5000-5009"},
	} {
		if got := Simplify(c.field, size); got != c.want {
			t.Errorf("%.60q becomes %q, want %q", c.field, got, c.want)
		}
	}
}

func FuzzSimplify(f *testing.F) {
	f.Add("bytes=0-1,5-", int64(10))
	f.Add("bytes=-0", int64(0))
	f.Fuzz(func(t *testing.T, field string, size int64) {
		if size < 0 {
			return
		}
		got := Simplify(field, size)
		if strings.Count(got, ",") >= maxRanges {
			t.Errorf("%q becomes %q: more than %d ranges", field, got, maxRanges)
		}
		if again := Simplify(got, size); got != "" && again != got {
			t.Errorf("%q becomes %q, and that %q", field, got, again)
		}
	})
}
