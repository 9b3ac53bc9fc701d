package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestLogKeysAreDocumented compares the keys of log lines, found
// in the source, with the table in docs/logs.md.
func TestLogKeysAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../../docs/logs.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `.*?` \\|")
	var documented []string
	for _, cell := range row.FindAllString(string(text), -1) {
		for _, key := range quoted.FindAllStringSubmatch(cell, -1) {
			documented = append(documented, key[1])
		}
	}
	used := append(productKeys(t), "time", "level", "msg")
	for _, key := range used {
		if !slices.Contains(documented, key) {
			t.Errorf("the log key %q is not documented", key)
		}
	}
	for _, key := range documented {
		if !slices.Contains(used, key) {
			t.Errorf("the log key %q is documented, and not used", key)
		}
	}
}

func TestLogKeysAreFound(t *testing.T) {
	const source = `package p
func f() {
	x.h.log.Warn("message", "a", 1, "b", "not a key")
	logger.LogAttrs(ctx, level, "message", slog.String("c", "not a key"), slog.Any("d", nil))
	errors.New("not a key")
	fmt.Error("not", "logged", 1)
}`
	if keys := loggedKeys(t, "p.go", source); !slices.Equal(keys, []string{"a", "b", "c", "d"}) {
		t.Errorf("keys %q, want a, b, c, d", keys)
	}
}

// productKeys returns the keys in all packages that programs are built from.
func productKeys(t *testing.T) (keys []string) {
	t.Helper()
	const root = "../../.."
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch base := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".git", "testdata", "tusd-bench", "node_modules"}, base),
			entry.IsDir() && filepath.Base(filepath.Dir(name)) == "internal" && base != "lease": // the others do not log, or are of tests
			return fs.SkipDir
		case strings.HasSuffix(base, ".go") && !strings.HasSuffix(base, "_test.go"):
			keys = append(keys, loggedKeys(t, name, nil)...)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// loggedKeys returns the keys in the calls of loggers and of slog in a file.
func loggedKeys(t *testing.T, name string, source any) (keys []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(node ast.Node) bool {
		if call, ok := node.(*ast.CallExpr); ok {
			keys = append(keys, keysOf(call)...)
		}
		return true
	})
	return keys
}

func keysOf(call *ast.CallExpr) (keys []string) {
	function, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return nil
	}
	switch receiver := lastName(function.X); {
	case receiver == "slog" && len(call.Args) == 2:
		return literals(call.Args[:1])
	case receiver == "log" || receiver == "logger":
		if slices.Contains([]string{"Debug", "Info", "Warn", "Error"}, function.Sel.Name) {
			for i := 1; i < len(call.Args); i += 2 {
				keys = append(keys, literals(call.Args[i:i+1])...)
			}
		}
	}
	return keys
}

// lastName returns c for a.b.c.
func lastName(expression ast.Expr) string {
	switch e := expression.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

func literals(expressions []ast.Expr) (values []string) {
	for _, e := range expressions {
		if literal, ok := e.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			value, err := strconv.Unquote(literal.Value)
			if err == nil {
				values = append(values, value)
			}
		}
	}
	return values
}
