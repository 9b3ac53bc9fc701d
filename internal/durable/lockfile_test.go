package durable

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Users who must not write to the lock file must not read it either, since a reader could lock it.
func TestLockFilePermissions(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has other permissions")
	}
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for was, want := range map[os.FileMode]os.FileMode{
		0o644: 0o600, 0o664: 0o660, 0o640: 0o600, 0o600: 0o600, 0o660: 0o660, 0o666: 0o666, 0o604: 0o600, 0o646: 0o606,
	} {
		path := filepath.Join(dir, "locks")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, was); err != nil {
			t.Fatal(err)
		}
		wantLockFile(t, root, path, 0o664, want)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	wantLockFile(t, root, filepath.Join(dir, "new"), 0o644, 0o600)
}

func wantLockFile(t *testing.T, root *os.Root, path string, perm, want os.FileMode) {
	t.Helper()
	f, err := OpenLockFile(root, filepath.Base(path), perm)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := os.Stat(path)
	if err != nil || info.Mode() != want {
		t.Errorf("%s has %v, %v; want %v", path, info.Mode(), err, want)
	}
}
