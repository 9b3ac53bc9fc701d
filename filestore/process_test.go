package filestore_test

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
)

// Environment variables with a directory, for a child process of a test: one that opens
// the directory until its standard input ends, and one that blocks while it writes.
const (
	openDir  = "TUSD_FILESTORE_TEST_OPEN"
	writeDir = "TUSD_FILESTORE_TEST_WRITE"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(openDir); dir != "" {
		serveDir(dir)
		return
	}
	if dir := os.Getenv(writeDir); dir != "" {
		filestore.WriteUntilRename(dir)
		return
	}
	os.Exit(m.Run())
}

func serveDir(dir string) {
	store := filestore.New(dir)
	if err := store.Open(context.Background(), tusd.Env{Locker: &tusd.LocalLocker{}}); err != nil {
		os.Stdout.WriteString("refused: " + err.Error() + "\n")
		return
	}
	os.Stdout.WriteString("open\n")
	io.Copy(io.Discard, os.Stdin)
}

// A second process on a directory is refused with an error that names it, until the first
// one has ended.
func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	child, line := startChild(t, openDir, dir)
	if line != "open" {
		t.Fatalf("the child prints %q", line)
	}
	env := tusd.Env{Locker: &tusd.LocalLocker{}}
	store := filestore.New(dir)
	err := store.Open(t.Context(), env)
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("other another process: %v", err)
	}
	child.Process.Kill()
	child.Wait()
	if err := store.Open(t.Context(), env); err != nil {
		t.Fatalf("after the other process was killed: %v", err)
	}
	defer store.Close()
	if _, line := startChild(t, openDir, dir); !strings.HasPrefix(line, "refused: ") || !strings.Contains(line, dir) {
		t.Errorf("the child prints %q, want it refused", line)
	}
}

// Temporary files of a killed process are removed at the next start. Those of a running
// process are not removed.
func TestTemporaryFilesOfAKilledProcess(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "windows" {
		t.Skip("no locks on single bytes here")
	}
	dir := t.TempDir()
	child, line := startChild(t, writeDir, dir)
	if line != "stopped" {
		t.Fatalf("the child prints %q", line)
	}
	other := filestore.OpenShared(t, dir)
	defer other.Close()
	if left := temporary(t, dir); len(left) != 1 {
		t.Fatalf("while the child runs: %q, want its temporary file", left)
	}
	child.Process.Kill()
	child.Wait()
	defer filestore.OpenShared(t, dir).Close()
	if left := temporary(t, dir); len(left) != 0 {
		t.Errorf("after the child was killed: %q", left)
	}
}

// temporary returns the temporary files of a store.
func temporary(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, ".tusd.d", "tmp", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// startChild starts a child on dir with one of the variables, and returns the first line
// of its output.
func startChild(t *testing.T, variable, dir string) (*exec.Cmd, string) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), variable+"="+dir)
	if _, err := child.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { child.Process.Kill(); child.Wait() })
	text, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the child has no output: %v", err)
	}
	return child, strings.TrimSpace(text)
}
