package cli

import (
	"strings"
	"testing"
)

func TestInvalidFlagValues(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"port", "http", "must be a number from 0 to 65535"},
		{"port", "65536", "must be a number"},
		{"max-size", "1GX", "unknown unit"},
		{"max-requests", "-1", "at least 0"},
		{"max-header-size", "100", "at least 1024"},
		{"max-partials", "0", "at least 1"},
		{"tls-mode", "tls11", "must be tls12, tls12-strong or tls13"},
		{"log-format", "xml", "must be text or json"},
		{"digest", "sha3", "must be sha256, sha512, sha1, md5 or crc32c"},
		{"dir-perms", "789", "must be octal"},
		{"dir-perms", "1777", "must be octal"},
		{"dir-perms", "600", "must include 700"},
		{"file-perms", "444", "must include 600"},
		{"unix-sock-mode", "888", "must be octal"},
		{"unix-sock-mode", "1777", "must be octal"},
		{"unix-sock-mode", "0", "must include 600"},
		{"unix-sock-mode", "466", "must include 600"},
		{"unix-sock-group", "a:b", "one group"},
		{"public-url", "/files/", "must be a URL like"},
		{"public-url", "ftp://up.example/", "must be a URL like"},
		{"public-url", "https://:8443/", "must be a URL like"},
		{"public-url", "https://up.example:99999/", "must be a URL like"},
		{"public-url", "https://me@up.example/", "must be a URL like"},
		{"public-url", "https://up.example/?a=b", "must be a URL like"},
		{"public-url", "https://up .example/", "must be a URL like"},
		{"admin-listen", "9090", "must be host:port"},
		{"admin-listen", ":http", "must be host:port"},
		{"metrics-path", "metrics", "must be a path"},
		{"pprof-path", "/", "must be a path"},
		{"cors-allow-origin", "(", "missing closing )"},
		{"cors-max-age", "1h1ms", "seconds"},
		{"cors-max-age", "1x", "seconds"},
		{"cors-max-age", "25000d", "seconds"},
		{"cors-origins", "example.org", "is no origin"},
		{"cors-origins", "https://example.org/", "has more than"},
		{"cors-origins", "https://a.example,https://Example.org", "lower case"},
		{"cors-origins", "HTTPS://B.org:443", "lower case"},
		{"cors-origins", "", "must not be empty"},
		{"trusted-proxies", "", "must not be empty"},
		{"cors-origins", "https://*.example.org", "wildcard"},
		{"cors-origins", "https://example.org:443", "default port"},
		{"trusted-proxies", "10.0.0.0/8,example.org", "is neither an address nor a network"},
		{"trusted-proxies", "10.0.0.1/8", "10.0.0.0/8 is meant"},
		{"trusted-proxies", "none,10.0.0.1", "is neither"},
		{"network-timeout", "60", "must be a duration"},
		{"network-timeout", "0", "is too short"},
		{"network-timeout", "1us", "at least 1ms"},
		{"filelock-holder-poll-interval", "1ns", "at least 1ms"},
		{"min-rate-time", "1ns", "at least 1ms"},
		{"idle-timeout", "-1s", "is too short"},
		{"idle-timeout", "1ns", "0 or at least 1ms"},
		{"s3-part-size", "0", "more than 0"},
		{"s3-buffer-memory", "1GiBit", "must be a whole number of bytes"},
		{"s3-concurrent-part-uploads", "0", "at least 1"},
		{"s3-profile", "wasabi", "there is no profile"},
		{"s3-sse", "aes", "must be AES256 or aws:kms"},
		{"s3-tags", "team", "is no tag"},
		{"s3-tags", "=web", "is no tag"},
		{"s3-tags", "team=a,team=b", "twice"},
		{"s3-metadata-keys", "a,,b", "is no key"},
		{"host", "[localhost]", "no address"},
		{"host", "[::1", "no address"},
		{"host", "localhost:8080", "-port is the port"},
		{"host", "[::1]:8080", "no address"},
		{"host", "http://localhost", "-port is the port"},
	} {
		_, err := parse("-"+c.name, c.value)
		if err == nil || !strings.Contains(err.Error(), "-"+c.name) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("-%s %s: %v; want %q", c.name, c.value, err, c.want)
		}
	}
}

func TestHostInBrackets(t *testing.T) {
	if cfg, err := parse("-host", "[::1]"); err != nil || cfg.listening.host != "::1" {
		t.Errorf("-host [::1]: %q, %v", cfg.listening.host, err)
	}
}

// "none" trusts no proxy. Without the flag the handler's default applies.
func TestTrustedProxies(t *testing.T) {
	for _, c := range []struct {
		args  []string
		isNil bool
		n     int
	}{
		{nil, true, 0},
		{[]string{"-trusted-proxies", "none"}, false, 0},
		{[]string{"-trusted-proxies", "::ffff:10.1.2.3"}, false, 1},
		{[]string{"-trusted-proxies", "10.0.0.0/8 , fd00::/8"}, false, 2},
	} {
		cfg, err := parse(c.args...)
		if got := cfg.listening.trustedProxies; err != nil || (got == nil) != c.isNil || len(got) != c.n {
			t.Errorf("%q: %v, %v", c.args, got, err)
		}
	}
}

// A network of IPv4-mapped addresses is converted to IPv4.
func TestMappedNetwork(t *testing.T) {
	got, err := parseNetwork("::ffff:10.0.0.0/104")
	if err != nil || got.String() != "10.0.0.0/8" {
		t.Errorf("%v, %v; want 10.0.0.0/8", got, err)
	}
}
