package cli

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/logtest"
)

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func wantContent(t *testing.T, path, want string) {
	t.Helper()
	if content, err := os.ReadFile(path); string(content) != want || err != nil {
		t.Errorf("%s has %q (%v), want %q", path, content, err, want)
	}
}

func wantNothing(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("%s exists (%v)", path, err)
	}
}

// endedProcess returns the id of a process that has ended.
func endedProcess(t *testing.T) int {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

// A stale file is replaced: of a process that has ended, of this process id, as in a
// restarted container, and a file that lost its content in a power cut. The server
// removes its file when it ends, also with a relative path.
func TestPIDFile(t *testing.T) {
	own := fmt.Sprintf("%d\n", os.Getpid())
	for name, stale := range map[string]string{
		"gone": fmt.Sprintf("%d\n", endedProcess(t)), "own": own, "no newline": strings.TrimSpace(own),
		"empty": "", "blank": " \n", "zeros": "\x00\x00\x00\x00", "none": "none",
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if stale != "none" {
				writeFile(t, "tusd.pid", stale)
			}
			d := start(t, "-pid-file", "tusd.pid")
			wantContent(t, "tusd.pid", own)
			if stat, err := os.Stat("tusd.pid"); err != nil || stat.Mode().Perm()&0o044 != 0o044 {
				t.Errorf("others cannot read the file: %v, %v", stat.Mode(), err)
			}
			if code := d.end(t); code != exitOK {
				t.Errorf("exit code %d", code)
			}
			if names, err := filepath.Glob("*"); len(names) > 0 || err != nil {
				t.Errorf("%q are left (%v)", names, err)
			}
		})
	}
}

// The start is refused, before any file is created, if the file names a running process
// or is no PID file. The file stays unchanged.
func TestPIDFileRefuses(t *testing.T) {
	parent := os.Getppid()
	for name, c := range map[string]struct{ content, want string }{
		"running":      {fmt.Sprintf("%d\n", parent), fmt.Sprintf("names process %d, which is running", parent)},
		"words":        {"precious\n", "is not a PID file"},
		"more lines":   {fmt.Sprintf("%d\nport 80\n", parent), "is not a PID file"},
		"no process":   {"0\n", "is not a PID file"},
		"a group":      {"-1\n", "is not a PID file"},
		"long":         {strings.Repeat(" ", 1<<20), "is not a PID file"},
		"large number": {strings.Repeat("9", 30), "is not a PID file"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tusd.pid")
			writeFile(t, path, c.content)
			wantPIDFileRefused(t, path, c.want)
			wantContent(t, path, c.content)
		})
	}
	t.Run("directory", func(t *testing.T) { wantPIDFileRefused(t, t.TempDir(), "is not a PID file") })
	t.Run("no directory", func(t *testing.T) {
		wantPIDFileRefused(t, filepath.Join(t.TempDir(), "missing", "tusd.pid"), "no such file or directory")
	})
}

// wantPIDFileRefused fails unless a server does not start, with an error that has path
// and why, and has not created its upload directory.
func wantPIDFileRefused(t *testing.T, path, why string) {
	t.Helper()
	uploads := filepath.Join(t.TempDir(), "uploads")
	var stdout, stderr logtest.Buffer
	code := Run(context.Background(), []string{"-host", "127.0.0.1", "-port", "0", "-upload-dir", uploads, "-pid-file", path}, nil, &stdout, &stderr)
	text := stderr.String()
	if code != exitFailed || !strings.Contains(text, path) || !strings.Contains(text, why) {
		t.Errorf("exit code %d, and %q, want %d and %q of %s", code, text, exitFailed, why, path)
	}
	wantNothing(t, uploads)
}

// A file that has replaced the server's own is not removed. A missing one is no error.
func TestPIDFileOfAnother(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, path string){
		"removed": func(t *testing.T, path string) {},
		"another": func(t *testing.T, path string) { writeFile(t, path, fmt.Sprintf("%d\n", os.Getppid())) },
		"another process 1": func(t *testing.T, path string) { // of another container, with the same process id
			writeFile(t, path, fmt.Sprintf("%d\n", os.Getpid()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tusd.pid")
			d := start(t, "-pid-file", path)
			if err := os.Rename(path, path+".old"); err != nil { // so that its inode number is not reused
				t.Fatal(err)
			}
			change(t, path)
			before, _ := os.ReadFile(path)
			if code := d.end(t); code != exitOK {
				t.Errorf("exit code %d: %s", code, d.stderr.String())
			}
			if name == "removed" {
				wantNothing(t, path)
			} else {
				wantContent(t, path, string(before))
			}
		})
	}
}

// A start that fails after the PID file was written removes it.
func TestPIDFileOfAFailedStart(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tusd.pid")
	writeFile(t, filepath.Join(dir, "uploads"), "")
	var stdout, stderr logtest.Buffer
	code := Run(context.Background(), []string{"-host", "127.0.0.1", "-port", "0", "-upload-dir", filepath.Join(dir, "uploads"), "-pid-file", path}, nil, &stdout, &stderr)
	if code != exitFailed {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
	wantNothing(t, path)
}
