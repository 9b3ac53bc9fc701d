package durable

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// newTreeWithLinks returns a tree with links of all kinds, inside the tree and to a
// directory outside.
func newTreeWithLinks(t *testing.T) *Tree {
	t.Helper()
	tree, dir := newTree(t, nil)
	outside := t.TempDir()
	for _, err := range []error{
		os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600),
		os.Mkdir(filepath.Join(dir, "sub"), 0o755),
		os.WriteFile(filepath.Join(dir, "sub", "inside"), []byte("inside"), 0o600),
		os.Symlink("sub", filepath.Join(dir, "alias")),
		os.Symlink(outside, filepath.Join(dir, "out")),
		os.Symlink("../"+filepath.Base(outside), filepath.Join(dir, "up")),
		os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return tree
}

// Links inside the tree are followed. No name leads out of the tree, and a link as the last
// element is not opened, neither with openat2 nor with os.Root.
func TestNamesStayInTree(t *testing.T) {
	tree := newTreeWithLinks(t)
	byRoot := func(name string, flag int, perm os.FileMode) (descriptor, error) {
		return tree.openInRoot(name, flag|syscall.O_NOFOLLOW, perm)
	}
	for way, open := range map[string]func(string, int, os.FileMode) (descriptor, error){"kernel": tree.open, "os.Root": byRoot} {
		for name, inside := range map[string]bool{
			"sub/inside": true, "alias/inside": true, ".": true, "sub/../sub/inside": true,
			"out/secret": false, "up/secret": false, "..": false, "../x": false, "sub/../../x": false, "/etc/passwd": false, "": false,
		} {
			d, err := open(name, os.O_RDONLY, 0)
			if err == nil {
				d.close()
			}
			if (err == nil) != inside {
				t.Errorf("%s: %q gives %v", way, name, err)
			}
		}
	}
	if _, err := tree.open("link", os.O_RDONLY, 0); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("a link itself: %v", err)
	}
}

// A closed tree does not use its descriptor, whose number may belong to another file.
func TestClosedTree(t *testing.T) {
	tree := newTreeWithLinks(t)
	if err := tree.Close(); err != nil {
		t.Fatal(err)
	}
	_, openErr := tree.open("sub", os.O_RDONLY, 0)
	_, statErr := tree.Lstat("sub")
	for what, err := range map[string]error{"open": openErr, "lstat": statErr, "sync": tree.SyncDir(".")} {
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s gives %v", what, err)
		}
	}
}

func TestOpenRegular(t *testing.T) {
	tree := newTreeWithLinks(t)
	if err := syscall.Mkfifo(filepath.Join(tree.root.Name(), "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sub", "link", "pipe"} {
		if _, _, err := tree.OpenRegular(name); !errors.Is(err, ErrIrregular) {
			t.Errorf("%s gives %v", name, err)
		}
	}
	f, info, err := tree.OpenRegular("sub/inside")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	content := make([]byte, 10)
	if n, err := f.ReadAt(content, 0); string(content[:n]) != "inside" || err != io.EOF {
		t.Errorf("it has %q, %v", content[:n], err)
	}
	info.Stamp = Stamp{} // not available from package os
	if byRoot, err := tree.lstatInRoot("sub/inside"); err != nil || info != byRoot {
		t.Errorf("it is %+v, os.Root says %+v, %v", info, byRoot, err)
	}
}
