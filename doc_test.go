package tusd_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var docLink = regexp.MustCompile(`\[(?:([A-Z]\w*)\.)?([A-Z]\w*)\]`)

// The package comment links only to names that exist. Nothing else fails if a name goes.
func TestPackageCommentNamesWhatExists(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files, positions := []*ast.File(nil), token.NewFileSet()
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(positions, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	public, err := doc.NewFromFiles(positions, files, "github.com/tus/tusd")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	links, lookup := docLink.FindAllStringSubmatch(string(text), -1), public.Parser().LookupSym
	for _, link := range links {
		if !lookup(link[1], link[2]) {
			t.Errorf("doc.go links to %s, which is not public", link[0])
		}
	}
	if len(links) < 30 {
		t.Errorf("%d links are found, want most of the public names", len(links))
	}
}
