//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/loopback"
	"github.com/tus/tusd/internal/require"
)

// Proxies run with the snippets of docs/proxies.md. Only addresses and names of files are
// replaced in them.

// proxyKind is one way to run a proxy: the snippet of its name, and perhaps a second
// snippet that replaces a line of the first.
type proxyKind struct {
	name    string
	variant string // "" or the name of the second snippet
}

var (
	nginx   = proxyKind{name: "nginx"}
	haproxy = proxyKind{name: "haproxy"}
	caddy   = proxyKind{name: "caddy"}

	nginxUnix  = proxyKind{"nginx", "nginx-unix"}
	haproxyH2C = proxyKind{"haproxy", "haproxy-h2c"}
	caddyH2C   = proxyKind{"caddy", "caddy-h2c"}

	allProxies = []proxyKind{nginx, haproxy, caddy}
	h2cProxies = []proxyKind{haproxyH2C, caddyH2C}
)

func (k proxyKind) String() string {
	if k.variant != "" {
		return k.variant
	}
	return k.name
}

// flags returns the daemon's flags for this kind of proxy.
func (k proxyKind) flags() []string {
	if k.speaksH2C() {
		return []string{"-enable-h2c"}
	}
	return nil
}

// speaksH2C reports whether the proxy speaks HTTP/2 to the daemon.
func (k proxyKind) speaksH2C() bool { return strings.HasSuffix(k.variant, "-h2c") }

// need ends the test if the program is missing.
func (k proxyKind) need(t *testing.T) {
	t.Helper()
	_, err := exec.LookPath(k.name)
	switch missing := k.name + " is not on the PATH"; k.name {
	case "nginx":
		require.Need(t, "nginx", err == nil, missing)
	case "haproxy":
		require.Need(t, "haproxy", err == nil, missing)
	case "caddy":
		require.Need(t, "caddy", err == nil, missing)
	}
}

// proxy is a running proxy.
type proxy struct {
	plain, secure string // where it listens: host:port
	certificate   string // the file with its certificate, which is its own root

	folder string
}

// startProxy runs a proxy in front of backend (host:port, or the path of a Unix socket)
// until the test ends, and returns when it serves. edit, if not nil, changes the snippet.
func startProxy(t *testing.T, kind proxyKind, backend string, edit func(string) string) *proxy {
	t.Helper()
	kind.need(t)
	p := &proxy{plain: loopback.Address(), secure: loopback.Address(), folder: t.TempDir()}
	p.certificate = writeCertificate(t, p.folder, "127.0.0.1", loopback.Host())
	settings := p.fillIn(t, kind.snippet(t), backend)
	if edit != nil {
		settings = edit(settings)
	}
	p.run(t, p.command(t, kind, settings))
	return p
}

// snippet returns the kind's settings from the documentation.
func (k proxyKind) snippet(t *testing.T) string {
	t.Helper()
	settings, _ := documented(t, k.name)
	if k.variant == "" {
		return settings
	}
	line, replaced := documented(t, k.variant)
	if strings.Count(settings, replaced) != 1 {
		t.Fatalf("snippet %s replaces %q, which must be once in snippet %s", k.variant, replaced, k.name)
	}
	return strings.Replace(settings, replaced, strings.TrimSpace(line), 1)
}

var snippetPattern = regexp.MustCompile("(?ms)^<!-- snippet: ([a-z0-9-]+)(?:, in place of \"([^\n]*)\")? -->\n```\\w+\n(.*?)^```$")

// documented returns a snippet of docs/proxies.md, and the text of another snippet that
// it replaces, "" if there is none.
func documented(t *testing.T, name string) (settings, replaced string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/proxies.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range snippetPattern.FindAllStringSubmatch(string(page), -1) {
		if match[1] == name {
			return match[3], match[2]
		}
	}
	t.Fatalf("docs/proxies.md has no snippet %s", name)
	return "", ""
}

// fillIn replaces the addresses and files in a snippet by those of this test. Each
// snippet has only some of them. If one is not replaced, the proxy does not start, or no
// request reaches it.
func (p *proxy) fillIn(t *testing.T, settings, backend string) string {
	t.Helper()
	return strings.NewReplacer(
		"127.0.0.1:8080", backend,
		"/run/tusd/tusd.sock", backend,
		"/etc/ssl/uploads.pem", p.certificate,
		"/etc/ssl/uploads.key", p.certificate,
		"/etc/haproxy/uploads.pem", p.certificate,
		"listen 80;", "listen "+p.plain+";",
		"listen 443 ", "listen "+p.secure+" ",
		"bind :80\n", "bind "+p.plain+"\n",
		"bind :443 ", "bind "+p.secure+" ",
		"http://uploads.example.org", "http://127.0.0.1:"+port(p.plain),
		"https://uploads.example.org", "https://127.0.0.1:"+port(p.secure),
	).Replace(settings)
}

// command returns the command that runs the proxy in the foreground, as one process.
func (p *proxy) command(t *testing.T, kind proxyKind, settings string) *exec.Cmd {
	t.Helper()
	name := filepath.Join(p.folder, "settings")
	write := func(content string) {
		if err := os.WriteFile(name, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	switch kind.name {
	case "nginx":
		write(fmt.Sprintf(nginxSurroundings, p.folder, settings))
		return exec.Command("nginx", "-p", p.folder, "-c", name)
	case "haproxy":
		write(settings)
		return exec.Command("haproxy", "-db", "-f", name)
	case "caddy":
		write(fmt.Sprintf(caddySurroundings, loopback.Host(), settings))
		command := exec.Command("caddy", "run", "--adapter", "caddyfile", "--config", name)
		command.Env = append(os.Environ(), "HOME="+p.folder, "XDG_DATA_HOME="+p.folder, "XDG_CONFIG_HOME="+p.folder)
		return command
	}
	t.Fatalf("no proxy is called %s", kind.name)
	return nil
}

// The settings around a site, as in nginx.conf of a distribution.
const nginxSurroundings = `
daemon off;
master_process off;
pid %[1]s/pid;
error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
%[2]s
}
`

// Settings that keep Caddy's files and ports in this test.
const caddySurroundings = `
{
	admin off
	skip_install_trust
	auto_https disable_redirects
	default_bind %s
}
%s
`

// run starts the proxy and returns when both addresses take connections. It ends with the
// test, or with the process.
func (p *proxy) run(t *testing.T, command *exec.Cmd) {
	t.Helper()
	program := loopback.Run(t, command)
	program.AwaitListening(t, p.plain)
	program.AwaitListening(t, p.secure)
}

func port(address string) string { return address[strings.LastIndex(address, ":")+1:] }
