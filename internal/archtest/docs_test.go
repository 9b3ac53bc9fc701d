package archtest

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocumentedPaths checks that the files and directories in CONTRIBUTING and
// docs/architecture.md exist, and that CONTRIBUTING names every directory with Go files.
func TestDocumentedPaths(t *testing.T) {
	mustPass(t, checkDocuments)
	const readme = "`store` and `store/memory`"
	for name, tree := range map[string]map[string]string{
		"a file that is gone":          {architecture: "see `store/write.go`", guide: readme},
		"a file of the root":           {architecture: "see `append.go`", guide: readme},
		"a directory that is gone":     {architecture: "", guide: readme + ", `store/other`"},
		"a directory without a line":   {architecture: "", guide: "`store`"},
		"only a file of the directory": {architecture: "", guide: "`store`, `store/memory/memory.go`"},
	} {
		t.Run(name, func(t *testing.T) {
			tree["store/store.go"], tree["store/memory/memory.go"] = "package store\n", "package memory\n"
			mustFail(t, checkDocuments, tree)
		})
	}
	violations, err := checkDocuments(treeOf(map[string]string{
		architecture:     "`store/store.go`, `tusd.DataStore`, `-flag`, `go test ./store`, `GET /files/`",
		guide:            readme,
		"store/store.go": "package store\n", "store/memory/memory.go": "package memory\n",
	}))
	if err != nil || len(violations) != 0 {
		t.Errorf("without any of these: violations %q, %v", violations, err)
	}
}

const (
	architecture = "docs/architecture.md"
	guide        = "CONTRIBUTING.md"
)

var (
	codeSpan  = regexp.MustCompile("`([^`\n]+)`")
	namesPath = regexp.MustCompile(`^[a-z0-9_-]+(/[a-zA-Z0-9_.-]+)+$|^[a-z0-9_]+\.go$`)
)

// checkDocuments compares the paths in code spans of both documents with the tree.
func checkDocuments(tree fs.FS) (violations []string, err error) {
	var mapped []string
	for _, document := range []string{architecture, guide} {
		found, err := allMatches(tree, document, codeSpan)
		if err != nil {
			return nil, err
		}
		for _, span := range found {
			name := span[1]
			if document == guide {
				mapped = append(mapped, name)
			}
			if _, err := fs.Stat(tree, name); err != nil && namesPath.MatchString(name) {
				violations = append(violations, fmt.Sprintf("%s names %s, which does not exist", document, name))
			}
		}
	}
	directories, err := goDirectories(tree)
	for _, dir := range directories {
		if dir != "." && !slices.Contains(mapped, dir) {
			violations = append(violations, fmt.Sprintf("%s does not name %s in its map", guide, dir))
		}
	}
	return violations, err
}

// goDirectories returns the directories with Go files, sorted.
func goDirectories(tree fs.FS) (found []string, err error) {
	err = fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (name != "." && strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return fs.SkipDir
		case !d.IsDir() && path.Ext(name) == ".go":
			found = append(found, path.Dir(name))
		}
		return nil
	})
	slices.Sort(found)
	return slices.Compact(found), err
}
