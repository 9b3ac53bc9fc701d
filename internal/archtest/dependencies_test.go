package archtest

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestDependenciesAreExplained(t *testing.T) {
	mustPass(t, checkDependencies)
	const header = "| Module | What for | State | When it ends |\n|---|---|---|---|\n"
	for name, c := range map[string]struct{ require, rows string }{
		"no row":          {"require a.org/b v1.0.0\n", ""},
		"a row too many":  {"", "| `a.org/b` | x | y | z |\n"},
		"an empty column": {"require (\n\ta.org/b v1.0.0\n)\n", "| `a.org/b` | x | | z |\n"},
		"a column less":   {"require (\n\ta.org/b v1.0.0\n)\n", "| `a.org/b` | x | z |\n"},
	} {
		t.Run(name, func(t *testing.T) {
			mustFail(t, checkDependencies, map[string]string{
				"go.mod":         "module m\n\ngo 1.26.0\n\nrequire a.org/indirect v1.0.0 // indirect\n" + c.require,
				dependencyRecord: header + c.rows,
			})
		})
	}
}

const dependencyRecord = "docs/decisions/0027-dependencies.md"

var (
	requirement   = regexp.MustCompile(`(?m)^(?:require\s+|\s+)([\w./-]+\.[\w./-]+) v\S+$`)
	dependencyRow = regexp.MustCompile("(?m)^\\| `([^`]+)` \\|(.*)\\|$")
)

// checkDependencies compares the direct requirements of go.mod with the rows of the
// decision record. Each row has a use, a state of maintenance and a replacement.
func checkDependencies(tree fs.FS) (violations []string, err error) {
	required, err := allMatches(tree, "go.mod", requirement)
	if err != nil {
		return nil, err
	}
	rows, err := allMatches(tree, dependencyRecord, dependencyRow)
	if err != nil {
		return nil, err
	}
	var explained []string
	for _, found := range rows {
		explained = append(explained, found[1])
		columns := strings.Split(found[2], "|")
		if len(columns) != 3 || slices.ContainsFunc(columns, func(c string) bool { return strings.TrimSpace(c) == "" }) {
			violations = append(violations, fmt.Sprintf("%s: the row of %s does not have four columns with text", dependencyRecord, found[1]))
		}
	}
	var direct []string
	for _, found := range required {
		direct = append(direct, found[1])
		if !slices.Contains(explained, found[1]) {
			violations = append(violations, fmt.Sprintf("%s has no row for %s", dependencyRecord, found[1]))
		}
	}
	for _, module := range explained {
		if !slices.Contains(direct, module) {
			violations = append(violations, fmt.Sprintf("%s has a row for %s, which go.mod does not require directly", dependencyRecord, module))
		}
	}
	return violations, nil
}

func allMatches(tree fs.FS, name string, pattern *regexp.Regexp) ([][]string, error) {
	content, err := fs.ReadFile(tree, name)
	return pattern.FindAllStringSubmatch(string(content), -1), err
}

func TestGoLine(t *testing.T) {
	mustPass(t, checkGoLine)
	for name, content := range map[string]string{
		"newer":     "module m\n\ngo 1.26.7\n",
		"short":     "module m\n\ngo 1.26\n",
		"toolchain": "module m\n\ngo 1.26.0\n\ntoolchain go1.26.8\n",
	} {
		t.Run(name, func(t *testing.T) {
			mustFail(t, checkGoLine, map[string]string{"go.mod": content})
		})
	}
}

var goLine = regexp.MustCompile(`(?m)^(go|toolchain) .*$`)

// checkGoLine checks that no dependency has raised the version of Go that users need.
func checkGoLine(tree fs.FS) (violations []string, err error) {
	content, err := fs.ReadFile(tree, "go.mod")
	if err != nil {
		return nil, err
	}
	if lines := goLine.FindAllString(string(content), -1); len(lines) != 1 || lines[0] != "go 1.26.0" {
		violations = append(violations, fmt.Sprintf("go.mod has %q, want only go 1.26.0", lines))
	}
	return violations, nil
}
