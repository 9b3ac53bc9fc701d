package tusd_test

import (
	"net/netip"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/front"
	"github.com/tus/tusd/storetest"
)

func TestClientPrefix(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	for _, c := range []struct {
		config tusd.Config
		addr   string
		want   string // "": no limit applies
	}{
		{tusd.Config{}, "127.0.0.1", ""},
		{tusd.Config{}, "::1", ""},
		{tusd.Config{}, "10.1.2.3", ""},
		{tusd.Config{}, "169.254.1.1", ""},
		{tusd.Config{}, "fe80::1", ""},
		{tusd.Config{}, "fd00::1", ""},
		{tusd.Config{}, "203.0.113.7", "203.0.113.7/32"},
		{tusd.Config{}, "2001:db8:1:2:3:4:0:1", "2001:db8:1:2::/64"},
		{tusd.Config{}, "::ffff:203.0.113.7", "203.0.113.7/32"},
		{tusd.Config{}, "::ffff:10.1.2.3", ""},
		{tusd.Config{}, "fe80::1%eth0", ""},
		{tusd.Config{TrustForwarded: true}, "203.0.113.7", ""},
		{tusd.Config{TrustedProxies: trusted}, "203.0.113.7", ""},
		{tusd.Config{TrustedProxies: trusted}, "2001:db8::1", ""},
		{tusd.Config{TrustedProxies: trusted}, "198.51.100.1", "198.51.100.1/32"},
		{tusd.Config{TrustedProxies: trusted}, "127.0.0.1", ""},
		{tusd.Config{TrustedProxies: trusted}, "10.1.2.3", ""},
	} {
		c.config.StoreComposer = tusd.NewStoreComposer()
		storetest.NewMemory().UseIn(c.config.StoreComposer)
		handler, err := tusd.NewHandler(c.config)
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if client := front.Client(handler, netip.MustParseAddr(c.addr)); client.IsValid() {
			got = client.String()
		}
		if got != c.want {
			t.Errorf("%s with %v, all: %v: %q, want %q", c.addr, c.config.TrustedProxies, c.config.TrustForwarded, got, c.want)
		}
		if err := handler.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if got := front.Client(new(tusd.Handler), netip.Addr{}); got.IsValid() {
		t.Errorf("an unknown address: %v", got)
	}
}
