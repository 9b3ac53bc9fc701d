//go:build linux

package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tus/tusd/internal/require"
)

// serverUser is a user id without a name on this machine.
const serverUser = 63101

// userFolder is a folder that every user can enter, with an upload directory of
// serverUser.
type userFolder struct{ folder, uploads string }

func newUserFolder(t *testing.T) userFolder {
	t.Helper()
	require.Need(t, "root", os.Getuid() == 0, "only root can run as another user")
	folder, err := os.MkdirTemp("", "tusd-place-") // other users cannot enter t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	p := userFolder{folder, filepath.Join(folder, "uploads")}
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	p.dir(t, "uploads", serverUser, 0o755)
	return p
}

// dir creates a directory.
func (p userFolder) dir(t *testing.T, name string, owner int, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(p.folder, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	p.give(t, name, owner, mode)
}

// file creates an empty file.
func (p userFolder) file(t *testing.T, name string, owner int, mode os.FileMode) {
	t.Helper()
	writeFile(t, filepath.Join(p.folder, name), "")
	p.give(t, name, owner, mode)
}

func (p userFolder) give(t *testing.T, name string, owner int, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(p.folder, name)
	if err := errors.Join(os.Chown(path, owner, owner), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
}

// runAsServer runs the command as serverUser, in no other group.
func runAsServer(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: serverUser, Gid: serverUser}}
	cmd.Env = []string{asTusd + "=1"}
	cmd.Dir = "/"
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Run() // the result is in ProcessState
	if cmd.ProcessState == nil {
		t.Fatal("the command did not run")
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// diagnoseAs runs tusd doctor as root, with -as for serverUser.
func diagnoseAs(t *testing.T, args ...string) (code int, stdout string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*testTimeout)
	defer cancel()
	var out, errs bytes.Buffer
	code = Run(ctx, append([]string{"doctor", "-as", "63101"}, args...), []string{asTusd + "=1"}, &out, &errs)
	return code, out.String() + errs.String()
}

// If the server's user cannot start the server, the doctor as that user and the
// server itself name the path, its owner and what to do.
func TestDoctorOpensTheDirectoryAsUser(t *testing.T) {
	const chown = "this runs as user 63101, group 63101: change one of the three"
	for name, c := range map[string]struct {
		breakStart func(t *testing.T, p userFolder)
		want       []string // in both texts
		starts     bool     // the server starts, but its requests would fail
	}{
		"locks of another user": {func(t *testing.T, p userFolder) { p.file(t, "uploads/.tusd.locks", 0, 0o600) },
			[]string{"/uploads/.tusd.locks belongs to user root (0), group root (0) and has the mode 0600", chown}, false},
		"locks read only": {func(t *testing.T, p userFolder) { p.file(t, "uploads/.tusd.locks", serverUser, 0o400) },
			[]string{"/uploads/.tusd.locks belongs to user 63101, group 63101 and has the mode 0400", chown}, false},
		"locks are a directory": {func(t *testing.T, p userFolder) { p.dir(t, "uploads/.tusd.locks", serverUser, 0o700) },
			[]string{"is a directory; move away what is at ", "/uploads/.tusd.locks"}, false},
		"locks are a FIFO": {func(t *testing.T, p userFolder) {
			if err := syscall.Mkfifo(filepath.Join(p.uploads, ".tusd.locks"), 0o600); err != nil {
				t.Fatal(err)
			}
			p.give(t, "uploads/.tusd.locks", serverUser, 0o600)
		}, []string{".tusd.locks: it is no regular file: move it away"}, false},
		"directory of another user": {func(t *testing.T, p userFolder) { p.give(t, "uploads", 0, 0o755) },
			[]string{"/uploads belongs to user root (0), group root (0) and has the mode 0755", chown}, false},
		"directory that cannot be entered": {func(t *testing.T, p userFolder) { p.give(t, "uploads", 0, 0o700) },
			[]string{"/uploads belongs to user root (0), group root (0) and has the mode 0700", chown}, false},
		"parent that cannot be entered": {func(t *testing.T, p userFolder) { p.give(t, "", 0, 0o700) },
			[]string{" belongs to user root (0), group root (0) and has the mode 0700", chown}, false},
		"own files of another user": {func(t *testing.T, p userFolder) { p.dir(t, "uploads/.tusd.d", 0, 0o700) },
			[]string{"/uploads/.tusd.d belongs to user root (0)", chown}, false},
		"temporary files of another user": {func(t *testing.T, p userFolder) {
			p.dir(t, "uploads/.tusd.d", serverUser, 0o755)
			p.dir(t, "uploads/.tusd.d/tmp", 0, 0o700)
		}, []string{"/uploads/.tusd.d/tmp belongs to user root (0)", chown}, false},
		"temporary files that cannot be made": {func(t *testing.T, p userFolder) {
			p.dir(t, "uploads/.tusd.d", serverUser, 0o755)
			p.dir(t, "uploads/.tusd.d/tmp", 0, 0o755)
		}, []string{"/uploads/.tusd.d/tmp belongs to user root (0)", chown}, true},
		"side records of another user": {func(t *testing.T, p userFolder) {
			p.dir(t, "uploads/.tusd.d", serverUser, 0o755)
			p.dir(t, "uploads/.tusd.d/side", serverUser, 0o755)
			p.dir(t, "uploads/.tusd.d/side/kind", 0, 0o755)
		}, []string{"/uploads/.tusd.d/side/kind belongs to user root (0)", chown}, true},
		"own files are a file": {func(t *testing.T, p userFolder) { p.file(t, "uploads/.tusd.d", serverUser, 0o600) },
			[]string{"/uploads/.tusd.d"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newUserFolder(t)
			c.breakStart(t, p)
			code, report := diagnoseAs(t, "-port", "0", "-upload-dir", p.uploads)
			wantRefusal(t, "doctor", code, report, append(c.want, "missing  ")...)
			if !c.starts {
				code, _, stderr := runAsServer(t, "-host", "127.0.0.1", "-port", "0", "-upload-dir", p.uploads)
				wantRefusal(t, "server", code, stderr, c.want...)
			}
		})
	}
}

func wantRefusal(t *testing.T, who string, code int, text string, want ...string) {
	t.Helper()
	if code != exitFailed {
		t.Errorf("%s: exit code %d", who, code)
	}
	for _, part := range want {
		if !strings.Contains(text, part) {
			t.Errorf("%s lacks %q:\n%s", who, part, text)
		}
	}
}

// The doctor also opens the certificates, sockets and files that the server opens.
func TestDoctorOpensListenersAsUser(t *testing.T) {
	const chown = "this runs as user 63101, group 63101: change one of the three"
	for name, c := range map[string]struct {
		args func(t *testing.T, p userFolder) []string
		want []string
	}{
		"key of another user": {func(t *testing.T, p userFolder) []string {
			pair := newPair(t, p.folder, "a")
			p.give(t, filepath.Base(pair.cert), 0, 0o644)
			p.give(t, filepath.Base(pair.key), 0, 0o600)
			return []string{"-port", "0", "-tls-certificate", pair.cert, "-tls-key", pair.key}
		}, []string{"belongs to user root (0), group root (0) and has the mode 0600", chown}},
		"PID file in a directory of root": {func(t *testing.T, p userFolder) []string {
			return []string{"-port", "0", "-pid-file", filepath.Join(p.folder, "pid")}
		}, []string{" belongs to user root (0), group root (0) and has the mode 0755", chown}},
		"PID file that is none": {func(t *testing.T, p userFolder) []string {
			writeFile(t, filepath.Join(p.uploads, "pid"), "words")
			p.give(t, "uploads/pid", serverUser, 0o644)
			return []string{"-port", "0", "-pid-file", filepath.Join(p.uploads, "pid")}
		}, []string{"is not a PID file"}},
		"socket in a directory of root": {func(t *testing.T, p userFolder) []string {
			return []string{"-unix-sock", filepath.Join(p.folder, "s")}
		}, []string{" belongs to user root (0), group root (0) and has the mode 0755", chown}},
		"socket that is none": {func(t *testing.T, p userFolder) []string {
			p.file(t, "uploads/s", serverUser, 0o600)
			return []string{"-unix-sock", filepath.Join(p.uploads, "s")}
		}, []string{"is there already and no socket"}},
		"socket for a group of others": {func(t *testing.T, p userFolder) []string {
			return []string{"-unix-sock", filepath.Join(p.uploads, "s"), "-unix-sock-group", "0"}
		}, []string{"operation not permitted; this user must be a member of the group"}},
		"privileged port": {func(t *testing.T, _ userFolder) []string {
			least, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
			require.Need(t, "privileged-ports", err == nil && strings.TrimSpace(string(least)) == "1024", "here every user may listen on every port")
			return []string{"-host", "127.0.0.1", "-port", "81"}
		}, []string{"permission denied; a port below 1024 needs root"}},
		"socket for no group": {func(t *testing.T, p userFolder) []string {
			return []string{"-unix-sock", filepath.Join(p.uploads, "s"), "-unix-sock-group", "no-such-group"}
		}, []string{"there is no group no-such-group"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newUserFolder(t)
			args := append(c.args(t, p), "-upload-dir", p.uploads)
			code, report := diagnoseAs(t, args...)
			wantRefusal(t, "doctor", code, report, append(c.want, "missing  ")...)
			if given := strings.Join(args, " "); !strings.Contains(given, "-unix-sock") && !strings.Contains(given, "-host") {
				args = append(args, "-host", "127.0.0.1")
			}
			code, _, stderr := runAsServer(t, args...)
			wantRefusal(t, "server", code, stderr, c.want...)
			if left, err := filepath.Glob(filepath.Join(p.folder, "*", ".tusd-doctor*")); err != nil || len(left) > 0 {
				t.Errorf("left: %q, %v", left, err)
			}
		})
	}
}

// The doctor as the user of a working server reports nothing missing and leaves
// nothing. The doctor as root warns that its report is about root.
func TestDoctorAsTheServersUser(t *testing.T) {
	p := newUserFolder(t)
	args := []string{"-upload-dir", p.uploads, "-unix-sock", filepath.Join(p.uploads, "s"), "-unix-sock-mode", "666", "-pid-file", filepath.Join(p.uploads, "pid")}
	code, report := diagnoseAs(t, args...)
	if code != exitOK || strings.Contains(report, "missing") || !strings.Contains(report, "ok       user: this runs as user 63101, group 63101; the result holds if the server runs as the same user\n") {
		t.Errorf("exit code %d:\n%s", code, report)
	}
	if entries, err := os.ReadDir(p.uploads); err != nil || len(entries) > 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
	code, report, _ = diagnose(t, args...)
	want := "warning  user: this runs as root, and what root may do tells nothing about another user: " + p.uploads + " belongs to user 63101, group 63101. Add -as 63101"
	if code != exitOK || !strings.Contains(report, want) {
		t.Errorf("exit code %d, want %s:\n%s", code, want, report)
	}
	if entries, err := os.ReadDir(p.uploads); err != nil || len(entries) > 0 {
		t.Errorf("left by root, which the server's user could not open: %v, %v", entries, err)
	}
}

// Uploads that the user cannot write may be complete: they are only a warning.
func TestDoctorOfForeignUploads(t *testing.T) {
	p := newUserFolder(t)
	p.dir(t, "uploads/old", 0, 0o755)
	code, report := diagnoseAs(t, "-port", "0", "-upload-dir", p.uploads)
	want := "/uploads/old: permission denied: no upload can be made or removed there; " + p.uploads + "/old belongs to user root (0)"
	if code != exitOK || !strings.Contains(report, "warning  existing uploads: open ") || !strings.Contains(report, want) {
		t.Errorf("exit code %d, want %s:\n%s", code, want, report)
	}
}

// The doctor reports nothing missing while the server runs.
func TestDoctorBesideTheServer(t *testing.T) {
	dir := t.TempDir()
	args := []string{"-upload-dir", dir, "-unix-sock", filepath.Join(dir, "s")}
	d := start(t, args...)
	location := create(t, overSocket(filepath.Join(dir, "s")), "http://h/files/", "1")
	code, report, _ := diagnose(t, args...)
	if code != exitOK || !strings.Contains(report, "a server listens there") || !strings.Contains(report, "ok       open the directory as the server does\n") {
		t.Errorf("exit code %d:\n%s", code, report)
	}
	if resp := do(t, overSocket(filepath.Join(dir, "s")), "DELETE", location); resp.StatusCode != 204 {
		t.Errorf("the server afterwards: %s", resp.Status)
	}
	d.end(t)
}

func TestCutAs(t *testing.T) {
	for args, want := range map[string]string{
		"-as tusd -upload-dir d": "tusd: -upload-dir d", "-upload-dir d --as=0": "0: -upload-dir d", "-upload-dir as": ": -upload-dir as",
		"-as": "error", "-as=": "error", "-as a -as b": "error",
	} {
		name, rest, err := cutAsFlag(strings.Fields(args))
		got := name + ": " + strings.Join(rest, " ")
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
}

func TestDoctorAsUnknownUser(t *testing.T) {
	require.Need(t, "root", os.Getuid() == 0, "only root can run as another user")
	code, stdout, stderr := diagnose(t, "-as", "no-such-user")
	if code != exitFailed || stdout != "" || !strings.Contains(stderr, "-as no-such-user: there is no such user") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}

// The doctor reports a port in use, and one that only root may use.
func TestDoctorChecksPort(t *testing.T) {
	d := start(t)
	port := d.address(t)[strings.LastIndex(d.address(t), ":")+1:]
	code, report, _ := diagnose(t, "-upload-dir", t.TempDir(), "-host", "127.0.0.1", "-port", port)
	if code != exitOK || !strings.Contains(report, "warning  address 127.0.0.1:"+port+": it is in use") {
		t.Errorf("exit code %d:\n%s", code, report)
	}
	code, report, _ = diagnose(t, "-upload-dir", t.TempDir(), "-port", "0", "-admin-listen", ":0")
	if code != exitOK || !strings.Contains(report, "ok       address 0.0.0.0:0\n") || !strings.Contains(report, "ok       address :0\n") {
		t.Errorf("exit code %d:\n%s", code, report)
	}
	code, report, _ = diagnose(t, "-upload-dir", t.TempDir(), "-host", "192.0.2.1", "-port", "0")
	if code != exitFailed || !strings.Contains(report, "missing  address 192.0.2.1:0: ") {
		t.Errorf("exit code %d:\n%s", code, report)
	}
}
