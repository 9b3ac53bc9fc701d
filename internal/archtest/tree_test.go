package archtest

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"
)

func TestMainIsOneFile(t *testing.T) {
	mustPass(t, checkMain)
	mustFail(t, checkMain, map[string]string{"cmd/tusd/main.go": "", "cmd/tusd/flags.go": "", "cmd/tusd/flags_test.go": ""})
	mustFail(t, checkMain, map[string]string{})
}

// checkMain keeps `go run cmd/tusd/main.go` working.
func checkMain(tree fs.FS) (violations []string, err error) {
	files, err := fs.Glob(tree, "cmd/tusd/*.go")
	if err != nil {
		return nil, err
	}
	var found []string
	for _, name := range files {
		if !strings.HasSuffix(name, "_test.go") {
			found = append(found, path.Base(name))
		}
	}
	if len(found) != 1 || found[0] != "main.go" {
		violations = append(violations, fmt.Sprintf("package main has the files %q, want only main.go", found))
	}
	return violations, nil
}

func TestNoMachinePaths(t *testing.T) {
	mustPass(t, checkMachinePaths)
	for _, folder := range []string{"root", "home", "work", "farm"} {
		t.Run(folder, func(t *testing.T) {
			mustFail(t, checkMachinePaths, map[string]string{"docs/a.md": "See `/" + folder + "/somebody/notes`.\n"})
		})
	}
}

// machinePath is a path that exists on one machine only. Examples use
// /srv and /var.
var machinePath = regexp.MustCompile("(?m)(^|[\\s\"'`(=:])/(root|home|work|farm)/[^\\s\"'`)]*")

func checkMachinePaths(tree fs.FS) (violations []string, err error) {
	err = walk(tree, func(name string) error {
		content, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		if found := machinePath.Find(content); found != nil {
			violations = append(violations, fmt.Sprintf("%s names %s", name, strings.TrimSpace(string(found))))
		}
		return nil
	})
	return violations, err
}
