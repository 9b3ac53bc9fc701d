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
	mustHold(t, checkDependencies)
	const header = "| Module | What for | State | When it ends |\n|---|---|---|---|\n"
	for name, c := range map[string]struct{ require, rows string }{
		"no row":          {"require a.org/b v1.0.0\n", ""},
		"a row too many":  {"", "| `a.org/b` | x | y | z |\n"},
		"an empty column": {"require (\n\ta.org/b v1.0.0\n)\n", "| `a.org/b` | x | | z |\n"},
		"a column less":   {"require (\n\ta.org/b v1.0.0\n)\n", "| `a.org/b` | x | z |\n"},
	} {
		t.Run(name, func(t *testing.T) {
			mustComplain(t, checkDependencies, map[string]string{
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

// checkDependencies compares what go.mod requires directly with the rows of the
// record, which have a use, a state of upkeep and a replacement.
func checkDependencies(tree fs.FS) (complaints []string, err error) {
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
			complaints = append(complaints, fmt.Sprintf("%s: the row of %s does not have four columns with text", dependencyRecord, found[1]))
		}
	}
	var direct []string
	for _, found := range required {
		direct = append(direct, found[1])
		if !slices.Contains(explained, found[1]) {
			complaints = append(complaints, fmt.Sprintf("%s has no row for %s", dependencyRecord, found[1]))
		}
	}
	for _, module := range explained {
		if !slices.Contains(direct, module) {
			complaints = append(complaints, fmt.Sprintf("%s has a row for %s, which go.mod does not require directly", dependencyRecord, module))
		}
	}
	return complaints, nil
}

func allMatches(tree fs.FS, name string, pattern *regexp.Regexp) ([][]string, error) {
	content, err := fs.ReadFile(tree, name)
	return pattern.FindAllStringSubmatch(string(content), -1), err
}
