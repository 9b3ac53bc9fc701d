package archtest

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"slices"
	"testing"
)

// The two sides of the handler: dialects translate between HTTP and
// operations and know no store; operations know no header.
var (
	dialectFiles   = []string{"tus.go", "ietf.go", "dialect.go"}
	operationFiles = []string{
		"creation.go", "append.go", "status.go", "download.go", "termination.go", "concatenation.go",
		"building.go", "finishing.go", "checksum.go", "digest.go", "engine.go", "background.go",
	}
)

func TestDialectRule(t *testing.T) {
	mustHold(t, checkDialects)
	mustHold(t, checkOperations)
}

// TestDialectRuleSeesFiles keeps the rule from holding because a file was
// renamed.
func TestDialectRuleSeesFiles(t *testing.T) {
	for _, name := range append([]string{"tus.go"}, operationFiles...) {
		if _, err := fs.Stat(repository(t), name); err != nil {
			t.Error(err)
		}
	}
}

func TestDialectRuleCanFail(t *testing.T) {
	for name, source := range map[string]string{
		"a parameter": "func create(store DataStore) {}",
		"a field":     "type request struct { upload Upload }",
		"a closure":   "var f = func() any { var l Locker; return l }",
		"a pointer":   "func load(u *Upload) {}",
	} {
		t.Run(name, func(t *testing.T) {
			mustComplain(t, checkDialects, map[string]string{"tus.go": "package tusd\n" + source})
		})
	}
	for name, source := range map[string]string{
		"a parameter":  "func create(h http.Header) {}",
		"a conversion": "var h = http.Header(nil)",
	} {
		t.Run(name, func(t *testing.T) {
			mustComplain(t, checkOperations, map[string]string{"append.go": "package tusd\n" + source})
		})
	}
}

// checkDialects looks for stores, uploads and locks in the dialects.
func checkDialects(tree fs.FS) ([]string, error) {
	return namesInFiles(tree, dialectFiles, "DataStore", "Upload", "Locker")
}

// checkOperations looks for headers in the operations.
func checkOperations(tree fs.FS) ([]string, error) {
	return namesInFiles(tree, operationFiles, "http.Header")
}

// namesInFiles complains about each use of forbidden in those of files that
// exist.
func namesInFiles(tree fs.FS, files []string, forbidden ...string) (complaints []string, err error) {
	for _, name := range files {
		source, err := fs.ReadFile(tree, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		positions := token.NewFileSet()
		file, err := parser.ParseFile(positions, name, source, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, used := range namesIn(file) {
			if slices.Contains(forbidden, used.name) {
				complaints = append(complaints, fmt.Sprintf("%s names %s", positions.Position(used.pos), used.name))
			}
		}
	}
	return complaints, nil
}

type usedName struct {
	name string
	pos  token.Pos
}

// namesIn lists the names that could mean a type or variable of the package
// (or, as pkg.Name, of another): all but names of fields and methods.
func namesIn(file *ast.File) (names []usedName) {
	var visit func(ast.Node) bool
	visit = func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			names = append(names, usedName{n.Name, n.Pos()})
		case *ast.SelectorExpr:
			if pkg, ok := n.X.(*ast.Ident); ok {
				names = append(names, usedName{pkg.Name + "." + n.Sel.Name, n.Pos()})
			}
			ast.Inspect(n.X, visit)
			return false
		case *ast.KeyValueExpr:
			if _, isField := n.Key.(*ast.Ident); !isField {
				ast.Inspect(n.Key, visit)
			}
			ast.Inspect(n.Value, visit)
			return false
		case *ast.Field:
			ast.Inspect(n.Type, visit)
			return false
		}
		return true
	}
	ast.Inspect(file, visit)
	return names
}
