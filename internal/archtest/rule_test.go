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

// repository returns the checkout that this test is part of.
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

// untracked are folders that may be in a checkout and are not in the repository.
var untracked = map[string]bool{".git": true, "data": true, "uploads": true, "node_modules": true}

// walk calls visit with every file of the repository.
func walk(tree fs.FS, visit func(name string) error) error {
	return fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && untracked[name]:
			return fs.SkipDir
		case name == ".git": // a file in a worktree
			return nil
		case !entry.Type().IsRegular():
			return nil
		}
		return visit(name)
	})
}

// rule checks a tree and returns its violations.
type rule func(fs.FS) (violations []string, err error)

// mustPass checks that the repository has no violation.
func mustPass(t *testing.T, check rule) {
	t.Helper()
	violations, err := check(repository(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, violation := range violations {
		t.Error(violation)
	}
}

// mustFail checks that the rule finds exactly one violation in files.
func mustFail(t *testing.T, check rule, files map[string]string) {
	t.Helper()
	violations, err := check(treeOf(files))
	if err != nil {
		t.Fatal(err)
	}
	if len(violations) != 1 {
		t.Errorf("violations %q, want exactly one", violations)
	}
}

func treeOf(files map[string]string) fs.FS {
	tree := fstest.MapFS{}
	for name, content := range files {
		tree[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return tree
}
