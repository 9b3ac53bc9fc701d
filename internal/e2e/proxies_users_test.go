//go:build linux

package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/faulttest"
	"github.com/tus/tusd/internal/loopback"
	"github.com/tus/tusd/internal/require"
)

// tusd and nginx run as different users, by their numbers, without accounts.
const (
	tusdUser   = 63101
	nginxUser  = 63102
	nginxGroup = 63103
)

// TestProxyOfAnotherUser runs the recipe of docs/proxies.md for nginx over a Unix socket,
// with different users for tusd and nginx.
func TestProxyOfAnotherUser(t *testing.T) {
	nginxUnix.need(t)
	require.Need(t, "root", os.Getuid() == 0, "only root can run two programs as two other users")
	_, err := exec.LookPath("setpriv")
	require.Need(t, "setpriv", err == nil, "setpriv is not on the PATH")

	t.Run("as documented", func(t *testing.T) {
		t.Parallel()
		m := newSharedFolder(t)
		m.startTusd(t, documentedTusd(t))
		nginx := m.startNginx(t)
		uploadThrough(t, http.DefaultClient, "http://"+nginx.plain+"/files/")
		uploadThrough(t, overHTTP2(t), "https://"+nginx.secure+"/files/")
	})
	// Without the flags nginx must have no access, or the test above proves nothing.
	t.Run("without the flags", func(t *testing.T) {
		t.Parallel()
		m := newSharedFolder(t)
		m.startTusd(t, nil)
		resp := ask(t, http.DefaultClient, http.MethodGet, "http://"+m.startNginx(t).plain+"/files/x", "")
		if resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("nginx of another user has access: %s", resp.Status)
		}
	})
}

// uploadThrough creates an upload and sends its content.
func uploadThrough(t *testing.T, client *http.Client, url string) {
	t.Helper()
	resp := ask(t, client, http.MethodPost, url, "", "Upload-Length", "5")
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("POST %s: %s", url, resp.Status)
	}
	resp = ask(t, client, http.MethodPatch, resp.Header.Get("Location"), "hello", "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream")
	if resp.StatusCode != http.StatusNoContent || resp.Header.Get("Upload-Offset") != "5" {
		t.Errorf("PATCH at %s: %s", url, resp.Status)
	}
}

// ask sends a request with further fields and reads the whole answer.
func ask(t *testing.T, client *http.Client, method, url, body string, fields ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Tus-Resumable", "1.0.0")
	for i := 0; i < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp
}

// overHTTP2 returns a client that trusts every certificate.
func overHTTP2(t *testing.T) *http.Client {
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	transport := &http.Transport{Protocols: &protocols, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// documentedTusd returns the flags of the recipe without -unix-sock, which Launch sets.
func documentedTusd(t *testing.T) []string {
	t.Helper()
	line, _ := documented(t, "tusd-unix")
	flags := strings.Fields(strings.ReplaceAll(line, "www-data", strconv.Itoa(nginxGroup)))
	if len(flags) < 3 || flags[0] != "tusd" || flags[1] != "-unix-sock" {
		t.Fatalf("the recipe is %q, and must begin with tusd -unix-sock", line)
	}
	return flags[3:]
}

// sharedFolder is a folder that all users can enter, with folders of single users in it.
type sharedFolder struct {
	folder, socket string
}

func newSharedFolder(t *testing.T) sharedFolder {
	t.Helper()
	folder, err := os.MkdirTemp("", "tusd-users-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	m := sharedFolder{folder, filepath.Join(folder, "run", "tusd.sock")}
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	m.makeFolder(t, "run", tusdUser)
	m.makeFolder(t, "uploads", tusdUser)
	m.makeFolder(t, "nginx", nginxUser)
	return m
}

// makeFolder makes a folder that belongs to a user, with the permissions of systemd's
// RuntimeDirectory.
func (m sharedFolder) makeFolder(t *testing.T, name string, uid int) {
	t.Helper()
	path := filepath.Join(m.folder, name)
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, uid, uid); err != nil {
		t.Fatal(err)
	}
}

// runAs returns the beginning of a command line that runs the rest of it as a user with
// groups, in the same process.
func runAs(uid int, groups string) []string {
	id := strconv.Itoa(uid)
	return []string{"setpriv", "--reuid", id, "--regid", id, "--groups", groups}
}

// startTusd runs the daemon as tusdUser, a member of nginxGroup.
func (m sharedFolder) startTusd(t *testing.T, flags []string) {
	t.Helper()
	binary := filepath.Join(m.folder, "tusd") // other users cannot enter the builder's folder
	content, err := os.ReadFile(builder.Binary(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(binary, content, 0o755); err != nil {
		t.Fatal(err)
	}
	faulttest.Start(t, faulttest.Launch{
		Binary: binary, Dir: filepath.Join(m.folder, "uploads"), Socket: m.socket, Flags: flags,
		Tracer: runAs(tusdUser, strconv.Itoa(nginxGroup)),
	})
}

// startNginx runs nginx as nginxUser.
func (m sharedFolder) startNginx(t *testing.T) *proxy {
	t.Helper()
	p := &proxy{plain: loopback.Address(), secure: loopback.Address(), folder: filepath.Join(m.folder, "nginx")}
	p.certificate = writeCertificate(t, p.folder, "127.0.0.1", loopback.Host())
	command := p.command(t, nginxUnix, p.fillIn(t, nginxUnix.snippet(t), m.socket))
	for _, file := range []string{p.certificate, filepath.Join(p.folder, "settings")} {
		if err := os.Chown(file, nginxUser, nginxUser); err != nil {
			t.Fatal(err)
		}
	}
	line := append(runAs(nginxUser, fmt.Sprintf("%d,%d", nginxUser, nginxGroup)), command.Args...)
	p.run(t, exec.Command(line[0], line[1:]...))
	return p
}
