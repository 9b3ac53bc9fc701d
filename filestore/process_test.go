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

// holdDir names, in the environment of a child of this test, a directory that
// it opens and holds until its standard input ends.
const holdDir = "TUSD_FILESTORE_TEST_HOLD"

// stopDir is holdDir for a child that stops while it writes.
const stopDir = "TUSD_FILESTORE_TEST_STOP"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdDir); dir != "" {
		hold(dir)
		return
	}
	if dir := os.Getenv(stopDir); dir != "" {
		filestore.WriteUntilRename(dir)
		return
	}
	os.Exit(m.Run())
}

func hold(dir string) {
	store := filestore.New(dir)
	if err := store.Open(context.Background(), tusd.Env{Locker: &tusd.LocalLocker{}}); err != nil {
		os.Stdout.WriteString("refused: " + err.Error() + "\n")
		return
	}
	os.Stdout.WriteString("open\n")
	io.Copy(io.Discard, os.Stdin)
}

// A second process is refused by name, and let in as soon as the first was
// killed.
func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	child, said := startHolder(t, holdDir, dir)
	if said != "open" {
		t.Fatalf("the child says %q", said)
	}
	env := tusd.Env{Locker: &tusd.LocalLocker{}}
	store := filestore.New(dir)
	err := store.Open(t.Context(), env)
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("beside another process: %v", err)
	}
	child.Process.Kill()
	child.Wait()
	if err := store.Open(t.Context(), env); err != nil {
		t.Fatalf("after the other process was killed: %v", err)
	}
	defer store.Close()
	if _, said := startHolder(t, holdDir, dir); !strings.HasPrefix(said, "refused: ") || !strings.Contains(said, dir) {
		t.Errorf("a child says %q, want to see it refused", said)
	}
}

// What a killed process was writing is gone after the next start, and not before
// it is dead, whoever else uses the directory.
func TestTemporaryFilesOfAKilledProcess(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "windows" {
		t.Skip("no locks on single bytes here")
	}
	dir := t.TempDir()
	child, said := startHolder(t, stopDir, dir)
	if said != "stopped" {
		t.Fatalf("the child says %q", said)
	}
	beside := filestore.OpenShared(t, dir)
	defer beside.Close()
	if left := temporary(t, dir); len(left) != 1 {
		t.Fatalf("while the child lives: %q, want its temporary file", left)
	}
	child.Process.Kill()
	child.Wait()
	defer filestore.OpenShared(t, dir).Close()
	if left := temporary(t, dir); len(left) != 0 {
		t.Errorf("after the child was killed: %q", left)
	}
}

func temporary(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, ".tusd.d", "tmp", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// startHolder starts a child on dir, which a variable tells what to do, and
// returns the first line that it says.
func startHolder(t *testing.T, variable, dir string) (*exec.Cmd, string) {
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
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the child said nothing: %v", err)
	}
	return child, strings.TrimSpace(line)
}
