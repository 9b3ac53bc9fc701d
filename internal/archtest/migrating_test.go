package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestMigratingDoc(t *testing.T) {
	mustPass(t, checkMigrating)
	const source = "package a_test\n\nfunc TestA(t *testing.T) { t.Run(\"one case\", nil) }\n"
	for name, c := range map[string]struct {
		row    string
		source string
	}{
		"no test":           {"| a | b | c | |", source},
		"a sentence":        {"| a | b | c | see `a.TestA` |", source},
		"no such test":      {"| a | b | c | `a.TestB` |", source},
		"none in the text":  {"| a | b | c | `a.TestA` |\n\nSee `a.TestB`.", source},
		"another package":   {"| a | b | c | `b.TestA` |", source},
		"no such case":      {"| a | b | c | `a.TestA/other_case` |", source},
		"second is missing": {"| a | b | c | `a.TestA`, `a.TestA/one_case`, `a.TestB` |", source},
		"a column too few":  {"| a | b | `a.TestA` |", source},
		"a column too many": {"| a | b | c | d | `a.TestA` |", source},
		"nothing to see":    {"", source},
		"does not parse":    {"| a | b | c | `a.TestA` |\n| a | b | c | `a.TestB` |", source + "package\n"},
	} {
		t.Run(name, func(t *testing.T) {
			table := "| tusd v2.10 | here | why | test |\n|---|---|---|---|\n" + c.row + "\n"
			mustFail(t, checkMigrating, map[string]string{"docs/migrating.md": table, "a_test.go": c.source})
		})
	}
}

var (
	row      = regexp.MustCompile(`(?m)^\|(.*)\|$`) // of a table
	heading  = regexp.MustCompile(`^[-| ]+$|\| test $`)
	testList = regexp.MustCompile("^`[^`]+`(, `[^`]+`)*$")
	testName = regexp.MustCompile("`(\\w+\\.Test[^`]*)`")
)

// migratingColumns are tusd v2.10, here, why, test.
const migratingColumns = 4

// checkMigrating checks that every line of docs/migrating.md names tests that exist:
// package.Test, or package.Test/case. A case omits the levels between (the dialect, the
// store).
func checkMigrating(tree fs.FS) (violations []string, err error) {
	text, err := fs.ReadFile(tree, "docs/migrating.md")
	if err != nil {
		return nil, err
	}
	tests, err := findTests(tree)
	if err != nil {
		return []string{err.Error()}, nil
	}
	rows := 0
	for _, found := range row.FindAllStringSubmatch(string(text), -1) {
		if heading.MatchString(found[1]) {
			continue
		}
		rows++
		if columns := strings.Split(found[1], "|"); len(columns) != migratingColumns || !testList.MatchString(strings.TrimSpace(columns[3])) {
			violations = append(violations, fmt.Sprintf("docs/migrating.md: the line %q does not have four columns with tests in the last", found[1]))
		}
	}
	if rows == 0 {
		violations = append(violations, "docs/migrating.md has no line")
	}
	for _, found := range testName.FindAllStringSubmatch(string(text), -1) {
		if !tests.has(found[1]) {
			violations = append(violations, fmt.Sprintf("docs/migrating.md: there is no test %s", found[1]))
		}
	}
	return violations, nil
}

// testCases has the names of the cases of each test function, by package.Test. "" is
// the test itself.
type testCases map[string]map[string]bool

func (tests testCases) has(name string) bool {
	test, name, _ := strings.Cut(name, "/")
	return tests[test][name]
}

// findTests reads all test files. The scripts of testscript are cases of
// main.TestScripts.
func findTests(tree fs.FS) (testCases, error) {
	tests := make(testCases)
	err := walk(tree, func(name string) error {
		if strings.HasSuffix(name, "_test.go") {
			return tests.addFile(tree, name)
		}
		if path.Dir(name) == "cmd/tusd/testdata" {
			tests.add("main.TestScripts", strings.TrimSuffix(path.Base(name), ".txtar"))
		}
		return nil
	})
	return tests, err
}

func (tests testCases) add(test, name string) {
	if tests[test] == nil {
		tests[test] = make(map[string]bool)
	}
	tests[test][strings.ReplaceAll(name, " ", "_")] = true
}

func (tests testCases) addFile(tree fs.FS, name string) error {
	source, err := fs.ReadFile(tree, name)
	if err != nil {
		return err
	}
	file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	pkg := strings.TrimSuffix(file.Name.Name, "_test")
	for _, declared := range file.Decls {
		if f, ok := declared.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
			tests.addCases(pkg+"."+f.Name.Name, f)
		}
	}
	return nil
}

// addCases adds every string in a test as the name of a case.
func (tests testCases) addCases(test string, f *ast.FuncDecl) {
	tests.add(test, "")
	ast.Inspect(f, func(node ast.Node) bool {
		if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if text, err := strconv.Unquote(literal.Value); err == nil {
				tests.add(test, text)
			}
		}
		return true
	})
}
