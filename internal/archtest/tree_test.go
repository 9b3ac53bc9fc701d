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

func TestGoLine(t *testing.T) {
	mustHold(t, checkGoLine)
	for name, content := range map[string]string{
		"newer":     "module m\n\ngo 1.26.7\n",
		"short":     "module m\n\ngo 1.26\n",
		"toolchain": "module m\n\ngo 1.26.0\n\ntoolchain go1.26.8\n",
	} {
		t.Run(name, func(t *testing.T) {
			mustComplain(t, checkGoLine, map[string]string{"go.mod": content})
		})
	}
}

var goLine = regexp.MustCompile(`(?m)^(go|toolchain) .*$`)

// checkGoLine keeps a dependency from raising what users need to build this.
func checkGoLine(tree fs.FS) (complaints []string, err error) {
	content, err := fs.ReadFile(tree, "go.mod")
	if err != nil {
		return nil, err
	}
	if lines := goLine.FindAllString(string(content), -1); len(lines) != 1 || lines[0] != "go 1.26.0" {
		complaints = append(complaints, fmt.Sprintf("go.mod has %q, want only go 1.26.0", lines))
	}
	return complaints, nil
}

func TestMainIsOneFile(t *testing.T) {
	mustHold(t, checkMain)
	mustComplain(t, checkMain, map[string]string{"cmd/tusd/main.go": "", "cmd/tusd/flags.go": "", "cmd/tusd/flags_test.go": ""})
	mustComplain(t, checkMain, map[string]string{})
}

// checkMain keeps `go run cmd/tusd/main.go` working.
func checkMain(tree fs.FS) (complaints []string, err error) {
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
		complaints = append(complaints, fmt.Sprintf("package main has the files %q, want only main.go", found))
	}
	return complaints, nil
}

func TestNoMachinePaths(t *testing.T) {
	mustHold(t, checkMachinePaths)
	for _, folder := range []string{"root", "home", "work", "farm"} {
		t.Run(folder, func(t *testing.T) {
			mustComplain(t, checkMachinePaths, map[string]string{"docs/a.md": "See `/" + folder + "/somebody/notes`.\n"})
		})
	}
}

// machinePath is a path that exists on one machine only. Examples use
// /srv and /var.
var machinePath = regexp.MustCompile("(?m)(^|[\\s\"'`(=:])/(root|home|work|farm)/[^\\s\"'`)]*")

func checkMachinePaths(tree fs.FS) (complaints []string, err error) {
	err = walk(tree, func(name string) error {
		content, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		if found := machinePath.Find(content); found != nil {
			complaints = append(complaints, fmt.Sprintf("%s names %s", name, strings.TrimSpace(string(found))))
		}
		return nil
	})
	return complaints, err
}

func TestCIRequiresAll(t *testing.T) {
	mustHold(t, checkRequired)
	mustComplain(t, checkRequired, map[string]string{
		".ci/run":   "readonly required=node,mounts\n",
		"a_test.go": `require.Need(t, "mounts", ok, "") ; require.Need(t, "redis-cluster", ok, "")`,
		"b/b.go":    `require.Need(tb, "node", ok, "")`,
	})
}

var (
	needed   = regexp.MustCompile(`require\.Need\(\w+, "([^"]+)"`)
	required = regexp.MustCompile(`(?m)^readonly required=(.*)$`)
)

// checkRequired keeps CI from skipping: what any test may be skipped for, CI
// names as required.
func checkRequired(tree fs.FS) (complaints []string, err error) {
	script, err := fs.ReadFile(tree, ".ci/run")
	if err != nil {
		return nil, err
	}
	list := required.FindSubmatch(script)
	if list == nil {
		return []string{".ci/run does not say what is required"}, nil
	}
	there := strings.Split(string(list[1]), ",")
	err = walk(tree, func(name string) error {
		if path.Ext(name) != ".go" || name == "internal/archtest/tree_test.go" {
			return nil
		}
		source, err := fs.ReadFile(tree, name)
		for _, match := range needed.FindAllSubmatch(source, -1) {
			if component := string(match[1]); !slices.Contains(there, component) {
				complaints = append(complaints, fmt.Sprintf("%s needs %s, which .ci/run does not require", name, component))
			}
		}
		return err
	})
	return complaints, err
}
