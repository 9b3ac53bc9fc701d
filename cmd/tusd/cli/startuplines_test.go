package cli

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/require"
)

// The URL in the start-up lines can be connected to, for every -host.
func TestStartupURLWorks(t *testing.T) {
	const wide = "Every address of this machine takes connections"
	for host, everywhere := range map[string]bool{
		"": true, "::": true, "[::]": true, "0.0.0.0": true, "0:0:0:0:0:0:0:0": true, "::ffff:0.0.0.0": true,
		"127.0.0.1": false, "127.0.0.2": false, "localhost": false, "::1": false, "[::1]": false, "::ffff:127.0.0.1": false,
	} {
		t.Run(host, func(t *testing.T) {
			needAddress(t, strings.Trim(host, "[]"))
			d := start(t, "-host="+host)
			wantDestination(t, d.url)
			location := create(t, http.DefaultClient, d.url, "1")
			if u, err := url.Parse(location); err != nil || u.Host != d.address(t) {
				t.Errorf("Location %s of an upload at %s", location, d.url)
			}
			if strings.Contains(d.stdout.String(), wide) != everywhere {
				t.Errorf("the line about every address, in: %s", startupOf(d))
			}
		})
	}
}

// wantDestination fails if the host of a URL cannot be connected to. Go
// connects to an empty or unspecified host, but curl, Python and browsers do not.
func wantDestination(t *testing.T, address string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || net.ParseIP(u.Hostname()).IsUnspecified() {
		t.Errorf("%s cannot be connected to, %v", address, err)
	}
}

// needAddress skips a test if the machine lacks its address, for example without IPv6.
func needAddress(t *testing.T, host string) {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	require.Need(t, "ipv6", err == nil, fmt.Sprintf("this machine cannot listen at %q: %v", host, err))
	listener.Close()
}

func TestStartupURLForOperators(t *testing.T) {
	for _, host := range []string{"", "[::]", "0.0.0.0", "127.0.0.1"} {
		needAddress(t, strings.Trim(host, "[]"))
		d := start(t, "-admin-listen", host+":0")
		printed := regexp.MustCompile(`http://\S+/\n`).FindString(startupOf(d))
		wantDestination(t, strings.TrimSpace(printed))
		resp, err := http.Get(strings.TrimSpace(printed) + "healthz")
		if err != nil {
			t.Errorf("-admin-listen %s:0: %v", host, err)
			continue
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("-admin-listen %s:0: %s", host, resp.Status)
		}
	}
}

func TestHostInURL(t *testing.T) {
	for _, c := range []struct {
		host string
		addr net.TCPAddr
		want string
	}{
		{"", net.TCPAddr{IP: net.IPv6unspecified, Port: 80}, "127.0.0.1:80"},
		{"::", net.TCPAddr{IP: net.IPv6unspecified, Port: 80}, "127.0.0.1:80"},
		{"0.0.0.0", net.TCPAddr{IP: net.IPv4zero, Port: 80}, "127.0.0.1:80"},
		{"up.example", net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 8080}, "up.example:8080"},
		{"2001:db8::1", net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 80}, "[2001:db8::1]:80"},
		{"fe80::1%eth0", net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 80}, "[fe80::1%25eth0]:80"},
	} {
		got, _ := hostInURL(c.host, &c.addr)
		if _, err := url.Parse("http://" + got + "/files/"); got != c.want || err != nil {
			t.Errorf("%q: %s, %v; want %s", c.host, got, err, c.want)
		}
	}
}

// A socket of systemd with ListenStream=8080 listens on every address.
func TestStartupURLOfSystemdSocket(t *testing.T) {
	listener, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	sockets, err := config{}.takeOver([]net.Listener{listener})
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	if err != nil || len(sockets) != 1 || sockets[0].host != "127.0.0.1:"+port || !sockets[0].everywhere {
		t.Errorf("%+v, %v; want 127.0.0.1:%s", sockets, err, port)
	}
}

func TestStartupLines(t *testing.T) {
	d := start(t)
	lines := strings.Split(strings.TrimSpace(startupOf(d)), "\n")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "You can now upload files to: http://127.0.0.1:") {
		t.Errorf("last line: %s", last)
	}
	code, stdout, _ := run("-host", "127.0.0.1", "-port", "0", "-upload-dir", t.TempDir(), "-show-startup-logs=false")
	if code != exitOK || strings.Contains(stdout, "pload") {
		t.Errorf("exit code %d, unexpected start-up lines: %s", code, stdout)
	}
}

// startupOf returns the output of a daemon without its log lines.
func startupOf(d *testDaemon) string {
	var startup strings.Builder
	for line := range strings.Lines(d.stdout.String()) {
		if !strings.HasPrefix(line, "time=") {
			startup.WriteString(line)
		}
	}
	return startup.String()
}
