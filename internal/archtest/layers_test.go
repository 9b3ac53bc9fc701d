package archtest

import (
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestHandlerLayers checks that a file of the root belongs to one layer: the files of
// HTTP, dialects included, use no store, and the files of operations use no header.
func TestHandlerLayers(t *testing.T) {
	mustPass(t, checkLayers)
}

func TestHandlerLayersCanFail(t *testing.T) {
	const http = `package tusd
import "net/http"
type exchange struct { http.ResponseWriter; e *engine }
type dialect interface { name() string }
`
	const operations = `package tusd
type DataStore interface { GetUpload() Upload }
type Upload interface { Offset() int64 }
type Locker interface { Lock() Lease }
type Lease interface{ Unlock() }
type StoreComposer struct { Core DataStore; Locker Locker }
type engine struct { store *StoreComposer }
func (e *engine) offset() int64 { return e.store.Core.GetUpload().Offset() }
`
	for name, source := range map[string]string{
		"a dialect with a store":             "type other struct{ store DataStore }; func (other) name() string { return \"\" }",
		"a dialect that reads an upload":     "type other struct{}; func (other) name() string { return \"\" }; func read(e *engine) { e.store.Core.GetUpload().Offset() }",
		"a choice that looks into a store":   "type other struct{}; func (other) name() string { return \"\" }; func choose(e *engine) dialect { if e.store.Core == nil { return other{} }; return nil }",
		"an operation with a header":         "func (e *engine) load(h http.Header) { e.store.Core.GetUpload() }",
		"an operation with an exchange":      "func (e *engine) load(x *exchange) { e.store.Core.GetUpload() }",
		"a request that brings its lease":    "func lock(r *http.Request, l Lease) { r.Header.Get(\"X\") }",
		"a header and a lock in a closure":   "var f = func(h http.Header) any { var l Locker; return l }",
		"an exchange that reaches the store": "func (x *exchange) find() { x.e.store.Core.GetUpload() }",
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(source, "http.") {
				source = "import \"net/http\"\n" + source
			}
			mustFail(t, checkLayers, map[string]string{"http.go": http, "operations.go": operations, "broken.go": "package tusd\n" + source})
		})
	}
	violations, err := checkLayers(treeOf(map[string]string{"http.go": http, "operations.go": operations}))
	if err != nil || len(violations) != 0 {
		t.Errorf("without any of these: violations %q, %v", violations, err)
	}
}

// checkLayers looks up the type of each expression in the files of the root.
func checkLayers(tree fs.FS) ([]string, error) {
	pkg, err := loadRoot(tree)
	if err != nil {
		return nil, err
	}
	var violations []string
	for i, file := range pkg.files {
		store, header, ofDialect := pkg.firstUse(file, pkg.isStore), pkg.firstUse(file, pkg.isHeader), pkg.firstUse(file, pkg.isDialect)
		switch {
		case store == "":
		case ofDialect != "":
			violations = append(violations, fmt.Sprintf("%s: %s is of a dialect, %s of a store", pkg.names[i], ofDialect, store))
		case header != "":
			violations = append(violations, fmt.Sprintf("%s: %s is of HTTP, %s of a store", pkg.names[i], header, store))
		}
	}
	return violations, nil
}

// rootPackage is the root of the repository, without its tests.
type rootPackage struct {
	set   *token.FileSet
	names []string
	files []*ast.File
	info  types.Info
	scope *types.Scope

	stores   []types.Type // with uploads, lockers and leases
	dialect  *types.Interface
	exchange types.Type
}

func loadRoot(tree fs.FS) (*rootPackage, error) {
	pkg := &rootPackage{set: token.NewFileSet(), info: types.Info{
		Types: make(map[ast.Expr]types.TypeAndValue), Uses: make(map[*ast.Ident]types.Object), Defs: make(map[*ast.Ident]types.Object),
	}}
	names, err := fs.Glob(tree, "*.go")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := fs.ReadFile(tree, name)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(pkg.set, name, source, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		pkg.names, pkg.files = append(pkg.names, name), append(pkg.files, file)
	}
	config := types.Config{Importer: importer.ForCompiler(pkg.set, "gc", compiled)}
	checked, err := config.Check(module, pkg.set, pkg.files, &pkg.info)
	if err != nil {
		return nil, err
	}
	pkg.scope = checked.Scope()
	return pkg, pkg.find()
}

// compiled opens the export data of a package.
func compiled(path string) (io.ReadCloser, error) {
	files, err := compiledFiles()
	if err != nil {
		return nil, err
	}
	return os.Open(files[path])
}

// compiledFiles returns the files with the export data of all packages that the root
// needs, by import path.
var compiledFiles = sync.OnceValues(func() (map[string]string, error) {
	list := exec.Command("go", "list", "-deps", "-export", "-f", "{{.ImportPath}} {{.Export}}", module)
	output, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", list, err)
	}
	files := make(map[string]string)
	for line := range strings.Lines(string(output)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		files[path] = file
	}
	return files, nil
})

// find finds the types that the rule is about. Stores are the types of a composer's
// fields, and the types that their methods return.
func (p *rootPackage) find() error {
	composer, dialect, exchange := p.scope.Lookup("StoreComposer"), p.scope.Lookup("dialect"), p.scope.Lookup("exchange")
	if composer == nil || dialect == nil || exchange == nil {
		return errors.New("the root has no StoreComposer, dialect or exchange")
	}
	p.dialect, p.exchange = dialect.Type().Underlying().(*types.Interface), exchange.Type()
	p.stores = []types.Type{composer.Type()}
	fields := composer.Type().Underlying().(*types.Struct)
	for i := range fields.NumFields() {
		p.addStore(fields.Field(i).Type())
	}
	return nil
}

func (p *rootPackage) addStore(t types.Type) {
	methods, ok := t.Underlying().(*types.Interface)
	named, isNamed := t.(*types.Named)
	if !ok || !isNamed || named.Obj().Parent() != p.scope || p.isStore(t) {
		return
	}
	p.stores = append(p.stores, t)
	for i := range methods.NumMethods() {
		results := methods.Method(i).Signature().Results()
		for j := range results.Len() {
			p.addStore(results.At(j).Type())
		}
	}
}

func (p *rootPackage) isStore(t types.Type) bool { return slices.Contains(p.stores, base(t)) }

func (p *rootPackage) isHeader(t types.Type) bool {
	t = base(t)
	return t == p.exchange || t.String() == "net/http.Header"
}

// isDialect reports whether t is an implementation of dialect, and not the interface.
func (p *rootPackage) isDialect(t types.Type) bool {
	t = base(t)
	_, named := t.(*types.Named)
	return named && !types.IsInterface(t) && (types.Implements(t, p.dialect) || types.Implements(types.NewPointer(t), p.dialect))
}

// base returns t, or the type that the pointer t points to.
func base(t types.Type) types.Type {
	if p, ok := types.Unalias(t).(*types.Pointer); ok {
		t = p.Elem()
	}
	return types.Unalias(t)
}

// firstUse returns the place of the first expression or declaration in file whose
// type satisfies is, "" if there is none.
func (p *rootPackage) firstUse(file *ast.File, is func(types.Type) bool) (place string) {
	ast.Inspect(file, func(n ast.Node) bool {
		expression, ok := n.(ast.Expr)
		if !ok || place != "" {
			return place == ""
		}
		t := p.info.TypeOf(expression)
		if t != nil && is(t) {
			place = fmt.Sprintf("%s (line %d)", types.ExprString(expression), p.set.Position(n.Pos()).Line)
		}
		return true
	})
	return place
}
