package archtest

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// importRule lists the imports of packages that are allowed besides the standard library.
type importRule struct {
	packages string // a pattern of path.Match, relative to the module
	may      []string
	anything bool
}

// importTable is searched from the top. A package without a line is an error:
// add a line for each new package.
var importTable = []importRule{
	{packages: ".", may: []string{"github.com/bmizerany/pat", module + "/internal/ascii", module + "/internal/background", module + "/internal/bytecache", module + "/internal/byteranges", module + "/internal/contexts", module + "/internal/datakey", module + "/internal/deadline", module + "/internal/disposition", module + "/internal/forwarded", module + "/internal/front", module + "/internal/keyed", module + "/internal/locallock", module + "/internal/loglimit", module + "/internal/structured", module + "/internal/tuning", module + "/internal/workqueue"}},
	{packages: "storetest", may: []string{module}},
	{packages: "lockertest", may: []string{module}},
	{packages: "*store", may: partMay},
	{packages: "*locker", may: partMay},
	{packages: "prometheuscollector", may: []string{module, module + "/hooks"}},
	{packages: "hooks", may: []string{module, module + "/internal/background"}},
	{packages: "hooks/*", may: []string{module, module + "/hooks", module + "/internal/retry"}},
	{packages: "hooks/grpchook/proto"}, // generated
	{packages: "s3store/awsv1", may: []string{module, module + "/s3store"}},
	{packages: "cmd/tusd", may: []string{module + "/cmd/tusd/cli"}},
	{packages: "cmd/tusd/cli", anything: true},
	{packages: "cmd/tusd/cli/*", anything: true},
	{packages: "cmd/tusd-bench", anything: true},
	{packages: "cmd/tusd-bench/*", anything: true},
	{packages: "internal/ascii"},
	{packages: "internal/background"},
	{packages: "internal/workqueue"},
	{packages: "internal/bytecache"},
	{packages: "internal/byteranges", may: []string{module + "/internal/ascii"}},
	{packages: "internal/contexts"},
	{packages: "internal/datakey"},
	{packages: "internal/deadline"},
	{packages: "internal/disposition", may: []string{module + "/internal/datakey"}},
	{packages: "internal/durable", may: []string{"golang.org/x/sys/*"}},
	{packages: "internal/forwarded", may: []string{module + "/internal/ascii"}},
	{packages: "internal/front"},
	{packages: "internal/keyed"},
	{packages: "internal/lease", may: []string{module, module + "/internal/locallock"}},
	{packages: "internal/locallock", may: []string{module + "/internal/contexts"}},
	{packages: "internal/loglimit"},
	{packages: "internal/structured", may: []string{module + "/internal/ascii"}},
	{packages: "internal/tuning"},
	{packages: "examples/hooks/grpc", may: []string{"google.golang.org/grpc", module + "/hooks/grpchook/proto"}},
	{packages: "examples/hooks/plugin", may: []string{module + "/hooks", module + "/hooks/pluginhook"}},
	{packages: "internal/*", anything: true}, // packages for tests: the lines above allow no import of them
}

// partMay lists the imports of stores, lockers and hooks. They do not import each other.
var partMay = []string{module, module + "/internal/bytecache", module + "/internal/datakey", module + "/internal/disposition", module + "/internal/durable", module + "/internal/keyed", module + "/internal/lease", module + "/internal/locallock", "golang.org/x/sys/*"}

// ownDependencies has the third-party modules of a package, as prefixes of import paths.
var ownDependencies = map[string][]string{
	"etcdlocker":           {"go.etcd.io/etcd/api/v3", "go.etcd.io/etcd/client/v3"},
	"prometheuscollector":  {"github.com/prometheus/client_golang"},
	"redislocker":          {"github.com/redis/go-redis/v9"},
	"consullocker":         {"github.com/hashicorp/consul/api"},
	"s3store/awsv1":        {"github.com/aws/aws-sdk-go"},
	"hooks/grpchook":       {"google.golang.org/grpc", module + "/hooks/grpchook/proto"},
	"hooks/grpchook/proto": {"google.golang.org/grpc", "google.golang.org/protobuf"},
	"hooks/pluginhook":     {"github.com/hashicorp/go-plugin", "github.com/hashicorp/go-hclog"},
}

func TestImportTable(t *testing.T) {
	mustPass(t, checkImports)
}

func TestImportTableCanFail(t *testing.T) {
	for name, file := range map[string]struct{ path, imports string }{
		"root imports a store":         {"handler.go", module + "/filestore"},
		"root imports an SDK":          {"handler.go", "github.com/aws/aws-sdk-go/aws"},
		"suite imports a locker":       {"storetest/suite.go", module + "/memorylocker"},
		"store imports another":        {"limitedstore/store.go", module + "/filestore"},
		"store imports a suite":        {"filestore/store.go", module + "/storetest"},
		"store imports a test package": {"filestore/store.go", module + "/internal/faulttest"},
		"locker imports the PID files": {"filelocker/lock.go", "github.com/nightlyone/lockfile"},
		"main imports a backend":       {"cmd/tusd/main.go", module + "/filestore"},
		"a file for another system":    {"filestore/sync_plan9.go", "example.com/plan9"},
		"a package without a rule":     {"util/util.go", "strings"},
	} {
		t.Run(name, func(t *testing.T) {
			mustFail(t, checkImports, map[string]string{file.path: fmt.Sprintf("package p\nimport %q\n", file.imports)})
		})
	}
}

// checkImports compares the imports of all files with importTable, except tests. Files
// for other systems and with build tags are included.
func checkImports(tree fs.FS) (violations []string, err error) {
	err = walk(tree, func(name string) error {
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || strings.Contains(name, "testdata/") {
			return nil
		}
		imports, err := importsOf(tree, name)
		if err != nil {
			return err
		}
		violations = append(violations, judge(name, imports)...)
		return nil
	})
	return violations, err
}

func importsOf(tree fs.FS, name string) (paths []string, err error) {
	source, err := fs.ReadFile(tree, name)
	if err != nil {
		return nil, err
	}
	file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		paths = append(paths, imported)
	}
	return paths, nil
}

// judge returns the imports of a file that the rule of its package does not allow.
func judge(name string, imports []string) (violations []string) {
	folder := path.Dir(name)
	i := slices.IndexFunc(importTable, func(r importRule) bool { return matches(r.packages, folder) })
	if i < 0 {
		return []string{fmt.Sprintf("%s: no line of importTable covers package %s", name, folder)}
	}
	for _, imported := range imports {
		if !importTable[i].allows(folder, imported) {
			violations = append(violations, fmt.Sprintf("%s must not import %s", name, imported))
		}
	}
	return violations
}

func (r importRule) allows(folder, imported string) bool {
	if r.anything || isStandard(imported) {
		return true
	}
	for _, own := range ownDependencies[folder] {
		if imported == own || strings.HasPrefix(imported, own+"/") {
			return true
		}
	}
	return slices.ContainsFunc(r.may, func(pattern string) bool { return matches(pattern, imported) })
}

// isStandard reports whether a path is of the standard library: the go command reserves
// paths for it whose first element has no dot.
func isStandard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}

// TestEmbeddingCompilesNoSDK checks all packages that are compiled, with indirect
// dependencies.
func TestEmbeddingCompilesNoSDK(t *testing.T) {
	router := "github.com/bmizerany/pat"
	wantCompiled(t, module, router)
	wantCompiled(t, module+"/filestore", router, "golang.org/x/sys/unix", "golang.org/x/sys/windows")
}

// wantCompiled checks that pkg needs nothing but the standard library, this
// module, and others.
func wantCompiled(t *testing.T, pkg string, others ...string) {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", pkg)
	output, err := list.Output()
	if err != nil {
		t.Fatalf("%s: %v", list, err)
	}
	compiled := strings.Fields(string(output))
	if !slices.Contains(compiled, pkg) {
		t.Fatalf("%s: %q, want at least the package itself", list, compiled)
	}
	for _, dependency := range compiled {
		ours := dependency == module || strings.HasPrefix(dependency, module+"/")
		if !ours && !slices.Contains(others, dependency) {
			t.Errorf("%s compiles %s", pkg, dependency)
		}
	}
}
