// Package contract reads the contract of a package from its doc comments. The
// conformance suites name its sentences by short keys, so that each sentence is written
// only once: above its interface.
package contract

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Contract has the doc comments of one package.
type Contract struct {
	files  map[string]*ast.File // by their names
	symbol map[string][]string  // the sentences of a symbol's comment, like "Locker.Lock"
}

// Read parses the Go files of a directory, without tests.
func Read(dir string) (*Contract, error) {
	names, err := fs.Glob(os.DirFS(dir), "*.go")
	if err != nil {
		return nil, err
	}
	c := &Contract{files: make(map[string]*ast.File), symbol: make(map[string][]string)}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		c.files[name] = file
		for _, d := range file.Decls {
			c.add(d)
		}
	}
	return c, nil
}

func (c *Contract) add(d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		c.symbol[receiver(d)+d.Name.Name] = sentences(d.Doc)
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				c.symbol[s.Name.Name] = sentences(d.Doc, s.Doc)
				c.addMembers(s)
			case *ast.ValueSpec:
				for _, name := range s.Names {
					c.symbol[name.Name] = sentences(s.Doc, s.Comment)
				}
			}
		}
	}
}

// addMembers adds the methods of an interface, or the fields of a struct.
func (c *Contract) addMembers(s *ast.TypeSpec) {
	var members *ast.FieldList
	switch t := s.Type.(type) {
	case *ast.InterfaceType:
		members = t.Methods
	case *ast.StructType:
		members = t.Fields
	default:
		return
	}
	for _, member := range members.List {
		for _, name := range member.Names {
			c.symbol[s.Name.Name+"."+name.Name] = sentences(member.Doc, member.Comment)
		}
	}
}

// receiver returns the type of a method and a dot; "" for a function.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	t := d.Recv.List[0].Type
	if pointer, ok := t.(*ast.StarExpr); ok {
		t = pointer.X
	}
	if name, ok := t.(*ast.Ident); ok {
		return name.Name + "."
	}
	return ""
}

// Interfaces returns the names of the interfaces in a file, in its order.
func (c *Contract) Interfaces(file string) []string {
	var names []string
	for _, s := range c.interfaces(file) {
		names = append(names, s.Name.Name)
	}
	return names
}

func (c *Contract) interfaces(file string) (found []*ast.TypeSpec) {
	f := c.files[file]
	if f == nil {
		return nil
	}
	for _, d := range f.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, s := range decl.Specs {
			if spec, ok := s.(*ast.TypeSpec); ok {
				if _, ok := spec.Type.(*ast.InterfaceType); ok {
					found = append(found, spec)
				}
			}
		}
	}
	return found
}

// Sentence is one sentence of a symbol's doc comment.
type Sentence struct{ Symbol, Text string }

// Sentences returns the sentences of all interfaces in a file and their methods.
func (c *Contract) Sentences(file string) (all []Sentence) {
	for _, s := range c.interfaces(file) {
		symbols := []string{s.Name.Name}
		for _, method := range s.Type.(*ast.InterfaceType).Methods.List {
			for _, name := range method.Names {
				symbols = append(symbols, s.Name.Name+"."+name.Name)
			}
		}
		for _, symbol := range symbols {
			for _, text := range c.symbol[symbol] {
				all = append(all, Sentence{symbol, text})
			}
		}
	}
	return all
}

// Find returns the sentences that a key names. A key is a symbol, a colon, and
// some words of one of its sentences: "Upload.WriteChunk: loses nothing". Words of
// further sentences follow behind a slash: "Lease.Fence: greater / no fences".
func (c *Contract) Find(key string) ([]Sentence, error) {
	symbol, words, _ := strings.Cut(key, ": ")
	if c.symbol[symbol] == nil {
		return nil, fmt.Errorf("%s: no doc comment of %q", key, symbol)
	}
	var found []Sentence
	for _, some := range strings.Split(words, " / ") {
		matches := slices.DeleteFunc(slices.Clone(c.symbol[symbol]), func(s string) bool { return !strings.Contains(s, some) })
		if some == "" || len(matches) != 1 {
			return nil, fmt.Errorf("%s: %q is in %d sentences of %s, want one", key, some, len(matches), symbol)
		}
		found = append(found, Sentence{symbol, matches[0]})
	}
	return found, nil
}

// Uncovered returns the sentences of a file's interfaces that no key names, and errors
// about keys that name no sentence.
func (c *Contract) Uncovered(file string, keys []string) (left []Sentence, invalid []error) {
	left = c.Sentences(file)
	for _, key := range keys {
		found, err := c.Find(key)
		if err != nil {
			invalid = append(invalid, err)
		}
		left = slices.DeleteFunc(left, func(s Sentence) bool { return slices.Contains(found, s) })
	}
	return left, invalid
}

// sentences splits comments behind every full stop.
func sentences(comments ...*ast.CommentGroup) []string {
	var words []string
	for _, c := range comments {
		words = append(words, strings.Fields(c.Text())...)
	}
	all := strings.Split(strings.ReplaceAll(strings.Join(words, " "), ". ", ".\n"), "\n")
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}
