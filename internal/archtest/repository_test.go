package archtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
)

// module is the path of this module.
const module = "github.com/tus/tusd"

// repository is the checkout that this test is part of.
func repository(t *testing.T) fs.FS {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	return os.DirFS(root)
}

// notOurs are folders that may be in a checkout and are not part of it.
var notOurs = map[string]bool{".git": true, "data": true, "uploads": true, "node_modules": true}

// walk calls visit with every file of the repository.
func walk(tree fs.FS, visit func(name string) error) error {
	return fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && notOurs[name]:
			return fs.SkipDir
		case name == ".git": // a file in a worktree
			return nil
		case !entry.Type().IsRegular():
			return nil
		}
		return visit(name)
	})
}

// rule looks at a tree and says what is wrong with it.
type rule func(fs.FS) (complaints []string, err error)

// mustHold checks rule on the repository.
func mustHold(t *testing.T, check rule) {
	t.Helper()
	complaints, err := check(repository(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, complaint := range complaints {
		t.Error(complaint)
	}
}

// mustComplain proves that rule notices what is wrong with files, once.
func mustComplain(t *testing.T, check rule, files map[string]string) {
	t.Helper()
	complaints, err := check(treeOf(files))
	if err != nil {
		t.Fatal(err)
	}
	if len(complaints) != 1 {
		t.Errorf("complaints %q, want exactly one", complaints)
	}
}

func treeOf(files map[string]string) fs.FS {
	tree := fstest.MapFS{}
	for name, content := range files {
		tree[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return tree
}
