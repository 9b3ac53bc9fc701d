package cli

import (
	"strings"
	"testing"
)

func TestClosest(t *testing.T) {
	names := settingNames()
	for word, want := range map[string]string{
		"uplaod-dir": "upload-dir", "prot": "port", "hots": "host", "max-sizes": "max-size", "maxsize": "max-size",
		"max_size": "max-size", "MAX_SIZE": "max-size", "TUSD_MAX_SIZE": "max-size", "--max-size": "max-size", "tusd_max_szie": "max-size",
		"cors-allowed-origins": "cors-allow-origin", "endpoint": "s3-endpoint", "s3-buckett": "s3-bucket", "hook-http": "hooks-http",
		"verbos": "verbose", "basepath": "base-path", "unix-socket": "unix-sock", "timeout-network": "", "colour": "", "x": "", "": "", "S3cr3t!": "",
		strings.Repeat("upload-dir", 1000): "",
	} {
		if got := closest(word, names); got != want {
			t.Errorf("%.40q is closest to %q, want %q", word, got, want)
		}
	}
	for _, name := range names { // each is closest to itself
		if got := closest(name, names); got != name {
			t.Errorf("%s is closest to %q", name, got)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "a", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abd", 1}, {"abc", "acb", 1}, {"abc", "bc", 1}, {"abc", "xabc", 1},
		{"doctor", "docter", 1}, {"help", "hlep", 1}, {"port", "host", 2}, {"ab", "ca", 2}, {"kitten", "sitting", 3},
	} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("from %q to %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
