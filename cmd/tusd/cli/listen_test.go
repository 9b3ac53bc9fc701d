package cli

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/tusclient"
	"github.com/tus/tusd/internal/wire"
)

// overSocket returns a client that connects to a Unix socket.
func overSocket(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true,
	}}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	leaveSocket(t, path)
	d := start(t, "-unix-sock", path)
	location := create(t, overSocket(path), "http://uploads.example/files/", "1")
	if !strings.HasPrefix(location, "http://uploads.example/files/") {
		t.Errorf("Location: %s", location)
	}
	if strings.Contains(d.stdout.String(), "You can now upload") {
		t.Errorf("there is no URL for a Unix socket: %s", d.stdout.String())
	}
	if code := d.end(t); code != exitOK {
		t.Errorf("exit code %d: %s", code, d.stderr.String())
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

// leaveSocket creates the socket file that a killed server leaves.
func leaveSocket(t *testing.T, path string) {
	t.Helper()
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	listener.Close()
}

func TestUnixSocketPathInUse(t *testing.T) {
	dir := t.TempDir()
	file, used := filepath.Join(dir, "file"), filepath.Join(dir, "used")
	if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	first := start(t, "-unix-sock", used)
	for path, want := range map[string]string{
		file:                                    "no socket",
		used:                                    "another server listens",
		dir:                                     "no socket",
		filepath.Join(dir, "no-directory", "s"): "no such file",
		strings.Repeat("x", maxSocketPath+1):    "the path of a Unix socket has ",
	} {
		code, _, stderr := run("-upload-dir", t.TempDir(), "-unix-sock", path)
		if code != exitFailed || !strings.Contains(stderr, want) || !strings.Contains(stderr, path) {
			t.Errorf("%s: exit code %d, %s; want %q", path, code, stderr, want)
		}
	}
	if content, err := os.ReadFile(file); string(content) != "content" {
		t.Errorf("%q, %v", content, err)
	}
	create(t, overSocket(used), "http://h/files/", "1") // still served
	first.end(t)
}

// A server that ends does not remove the socket of the server that replaced it.
func TestUnixSocketOfTheNextServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	first := start(t, "-unix-sock", path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second := start(t, "-unix-sock", path)
	first.end(t)
	create(t, overSocket(path), "http://h/files/", "1")
	second.end(t)
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

// HTTP/2 without TLS is served only with -enable-h2c.
func TestH2C(t *testing.T) {
	t.Parallel()
	for _, enabled := range []bool{true, false} {
		var args []string
		if enabled {
			args = append(args, "-enable-h2c")
		}
		d := start(t, args...)
		resp, err := h2c().Get(strings.TrimSuffix(d.url, "files/"))
		if (err == nil) != enabled {
			t.Errorf("enabled %t: %v, %v", enabled, resp, err)
		}
		if err == nil {
			resp.Body.Close()
			if resp.ProtoMajor != 2 {
				t.Errorf("%s", resp.Proto)
			}
		}
		if resp := do(t, http.DefaultClient, http.MethodOptions, d.url); resp.ProtoMajor != 1 {
			t.Errorf("HTTP/1.1 beside it: %s", resp.Proto)
		}
	}
}

// h2c returns a client that speaks HTTP/2 without TLS, with prior knowledge.
func h2c() *http.Client {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{Protocols: &protocols}}
}

func TestHeaderTooLarge(t *testing.T) {
	t.Parallel()
	p := newPair(t, t.TempDir(), "a")
	plain := start(t, "-max-header-size", "8192", "-max-metadata-size", "4096")
	secure := start(t, "-max-header-size", "8192", "-max-metadata-size", "4096", "-tls-certificate", p.cert, "-tls-key", p.key)
	for name, got := range map[string]int{
		"HTTP/1.1, by the handler": statusOfLarge(t, wire.DialHTTP1, plain, 8192),
		"HTTP/1.1, by net/http":    statusOfLarge(t, wire.DialHTTP1, plain, 90<<10),
		"HTTP/2, by the handler":   statusOfLarge(t, wire.DialHTTP2, secure, 8192),
	} {
		if got != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s: %d", name, got)
		}
	}
}

// statusOfLarge sends a creation with a header field of a size.
func statusOfLarge(t *testing.T, dial func(address string) (wire.Conn, error), d *testDaemon, size int) int {
	t.Helper()
	client := &tusclient.Client{Dial: func() (wire.Conn, error) { return dial(d.address(t)) }}
	answer, err := client.Post("X-Large: " + strings.Repeat("x", size))
	if err != nil {
		t.Fatal(err)
	}
	return answer.Status
}

func TestGreetingCanBeHidden(t *testing.T) {
	for flag, want := range map[string]int{"-show-greeting=true": http.StatusOK, "-show-greeting=false": http.StatusNotFound} {
		d := start(t, flag)
		if resp := do(t, http.DefaultClient, http.MethodGet, strings.TrimSuffix(d.url, "files/")); resp.StatusCode != want {
			t.Errorf("%s: %s", flag, resp.Status)
		}
	}
}
