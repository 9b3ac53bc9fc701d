package forwarded

import (
	"net/http"
	"net/netip"
	"slices"
	"testing"
)

func TestOrigin(t *testing.T) {
	for _, c := range []struct{ name, value, scheme, host string }{
		{"X-Forwarded-Proto", "https", "https", ""},
		{"X-Forwarded-Proto", "HTTPS, http", "https", ""},
		{"X-Forwarded-Proto", "javascript", "", ""},
		{"X-Forwarded-Proto", "", "", ""},
		{"X-Forwarded-Host", "up.example:8443", "", "up.example:8443"},
		{"X-Forwarded-Host", "up.example, inner.example", "", "up.example"},
		{"X-Forwarded-Host", "[2001:db8::1]:443", "", "[2001:db8::1]:443"},
		{"X-Forwarded-Host", "up.example/path", "", ""},
		{"X-Forwarded-Host", "user@up.example", "", ""},
		{"X-Forwarded-Host", "up.example\"><script>", "", ""},
		{"X-Forwarded-Host", "up.example:port", "", ""},
		{"X-Forwarded-Host", ":80", "", ""},
		{"X-Forwarded-Host", "up.example:99999", "", ""},
		{"X-Forwarded-Host", "up.example:", "", ""},
		{"X-Forwarded-Host", "up..example", "", ""},
		{"Forwarded", "proto=https;host=up.example", "https", "up.example"},
		{"Forwarded", `For="[2001:db8::7]:4711" ; Proto=https ; Host="up.example:8443"`, "https", "up.example:8443"},
		{"Forwarded", `host="a\.example", host=b.example`, "", "a.example"},
		{"Forwarded", "for=192.0.2.1, proto=https", "", ""},
		{"Forwarded", `host="open`, "", ""},
		{"Forwarded", "host=up.example junk", "", ""},
		{"Forwarded", "proto=ftp;host=up/example", "", ""},
	} {
		scheme, host := Origin(http.Header{c.name: {c.value}})
		if scheme != c.scheme || host != c.host {
			t.Errorf("%s: %s: scheme %q, host %q, want %q, %q", c.name, c.value, scheme, host, c.scheme, c.host)
		}
	}
}

func TestForwardedComesBeforeTheOlderFields(t *testing.T) {
	scheme, host := Origin(http.Header{
		"X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"old.example"}, "Forwarded": {"proto=https", "host=inner.example"},
	})
	if scheme != "https" || host != "old.example" {
		t.Errorf("scheme %q, host %q: the first element of Forwarded says only https", scheme, host)
	}
}

func TestClientAddress(t *testing.T) {
	named := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:1::/48")}
	for _, c := range []struct {
		what     string
		networks []netip.Prefix
		peer     string
		header   http.Header
		want     string
	}{
		{"no proxy is named", nil, "10.0.0.1:5", http.Header{"X-Forwarded-For": {"192.0.2.9"}}, "10.0.0.1"},
		{"another peer", named, "198.51.100.1:5", http.Header{"X-Forwarded-For": {"192.0.2.9"}}, "198.51.100.1"},
		{"one proxy", named, "10.0.0.1:5", http.Header{"X-Forwarded-For": {"192.0.2.9"}}, "192.0.2.9"},
		{"a forged beginning", named, "10.0.0.1:5", http.Header{"X-Forwarded-For": {"1.1.1.1, 192.0.2.9"}}, "192.0.2.9"},
		{"two proxies, two lines", named, "10.0.0.1:5", http.Header{"X-Forwarded-For": {"1.1.1.1, 192.0.2.9", "10.1.2.3"}}, "192.0.2.9"},
		{"with a port", named, "10.0.0.1:5", http.Header{"X-Forwarded-For": {"192.0.2.9:1234"}}, "192.0.2.9"},
		{"junk", named, "10.0.0.1:5", http.Header{"X-Forwarded-For": {"192.0.2.9, unknown"}}, "10.0.0.1"},
		{"mapped", named, "[::ffff:10.0.0.1]:5", http.Header{"X-Forwarded-For": {"::ffff:192.0.2.9"}}, "192.0.2.9"},
		{"Forwarded", named, "[2001:db8:1::1]:5", http.Header{"Forwarded": {`for="[2001:db8:2::9]:80"`}}, "2001:db8:2::9"},
		{"the client's Forwarded behind a proxy that writes the other", named, "10.0.0.1:5",
			http.Header{"Forwarded": {"for=1.1.1.1"}, "X-Forwarded-For": {"192.0.2.9"}}, "192.0.2.9"},
		{"a Unix socket", named, "@", http.Header{"X-Forwarded-For": {"192.0.2.9"}}, "192.0.2.9"},
		{"a Unix socket, no proxy is named", nil, "@", http.Header{"X-Forwarded-For": {"192.0.2.9"}}, "invalid IP"},
	} {
		trust := Trust{Networks: c.networks}
		got := trust.Client(&http.Request{Header: c.header}, ParseAddr(c.peer))
		if got.String() != c.want {
			t.Errorf("%s: %v, want %s", c.what, got, c.want)
		}
	}
}

func TestTrustedPeers(t *testing.T) {
	near := []string{"127.0.0.1:1", "[::1]:1", "10.1.1.1:1", "172.31.0.1:1", "192.168.7.7:1", "169.254.1.1:1", "[fe80::1%eth0]:1", "[fd00::1]:1", "@", ""}
	far := []string{"192.0.2.1:1", "[2001:db8::1]:1", "172.32.0.1:1"}
	named := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	for _, c := range []struct {
		what    string
		trust   Trust
		trusted []string
	}{
		{"by default", Trust{}, near},
		{"all", Trust{All: true}, slices.Concat(near, far)},
		{"no peer", Trust{Networks: []netip.Prefix{}}, nil},
		{"named ones", Trust{Networks: named}, []string{"192.0.2.1:1", "@", ""}},
	} {
		for _, peer := range slices.Concat(near, far) {
			if got, want := c.trust.Trusts(ParseAddr(peer)), slices.Contains(c.trusted, peer); got != want {
				t.Errorf("%s: %q is trusted: %v", c.what, peer, got)
			}
		}
	}
}
