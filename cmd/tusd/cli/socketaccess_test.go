//go:build unix

package cli

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tus/tusd/internal/require"
)

// otherGroup is a group that new files of this process do not have.
const otherGroup = 65533

// The socket has the configured mode and group with any umask, and accepts connections.
func TestUnixSocketAccess(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		mode fs.FileMode
		gid  int
	}{
		"mode":           {[]string{"-unix-sock-mode", "0666"}, 0o666, -1},
		"owner only":     {[]string{"-unix-sock-mode", "600"}, 0o600, -1},
		"group":          {[]string{"-unix-sock-group", "65533"}, 0o660, otherGroup},
		"mode and group": {[]string{"-unix-sock-mode", "770", "-unix-sock-group", "65533"}, 0o770, otherGroup},
	} {
		t.Run(name, func(t *testing.T) {
			if c.gid >= 0 {
				require.Need(t, "root", os.Getuid() == 0, "only root gives a file to any group")
			}
			path := filepath.Join(t.TempDir(), "s")
			leaveSocket(t, path)
			d := start(t, append([]string{"-unix-sock", path}, c.args...)...)
			wantAccess(t, path, c.mode, c.gid)
			create(t, overSocket(path), "http://h/files/", "1")
			d.end(t)
			wantNothing(t, path)
		})
	}
}

func wantAccess(t *testing.T, path string, mode fs.FileMode, gid int) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	if info.Mode() != fs.ModeSocket|mode || gid >= 0 && int(owner.Gid) != gid {
		t.Errorf("the socket has mode %v and group %d, want %v and %d", info.Mode(), owner.Gid, mode, gid)
	}
}

// Until the socket has its mode and group, only root can connect, independently of the
// umask.
func TestNewUnixSocketIsForRootOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listener, err := listenForRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	wantAccess(t, path, 0, -1)
}

// A socket whose access cannot be set is removed.
func TestUnixSocketOfNoGroup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	code, _, stderr := run("-upload-dir", t.TempDir(), "-unix-sock", path, "-unix-sock-group", "no-such-group")
	if code != exitFailed || !strings.Contains(stderr, "there is no group no-such-group") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	wantNothing(t, path)
}

// A path that has been replaced by a symbolic link is not followed.
func TestUnixSocketAccessFollowsNoLink(t *testing.T) {
	dir, victim := t.TempDir(), filepath.Join(t.TempDir(), "victim")
	writeFile(t, victim, "")
	path := filepath.Join(dir, "s")
	if err := os.Symlink(victim, path); err != nil {
		t.Fatal(err)
	}
	if err := (socketAccess{mode: 0o777}).open(path, -1); err == nil {
		t.Error("a link was followed")
	}
	if info, err := os.Stat(victim); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file that the link leads to: %v, %v", info.Mode(), err)
	}
}
