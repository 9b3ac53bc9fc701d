// Package contract reads the sentences of a contract out of the comments of a
// Go file, so that tests can tell which of them a conformance suite checks.
package contract

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
)

// File is the contract in one Go file.
type File struct {
	text string
	file *ast.File
}

// Read parses the Go file at path.
func Read(path string) (*File, error) {
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	var comments []string
	for _, c := range f.Comments {
		comments = append(comments, flat(c))
	}
	return &File{text: strings.Join(comments, " "), file: f}, nil
}

// Says tells whether the file's comments contain the words, across lines.
func (f *File) Says(words string) bool { return strings.Contains(f.text, words) }

// Interfaces returns the names of the interfaces in the file, in its order.
func (f *File) Interfaces() []string {
	var names []string
	f.eachInterface(func(spec *ast.TypeSpec, _ *ast.InterfaceType, _ *ast.CommentGroup) {
		names = append(names, spec.Name.Name)
	})
	return names
}

// Sentences returns the sentences of the comments on all interfaces and their
// methods.
func (f *File) Sentences() []string {
	var all []string
	f.eachInterface(func(_ *ast.TypeSpec, t *ast.InterfaceType, doc *ast.CommentGroup) {
		all = append(all, sentences(flat(doc))...)
		for _, method := range t.Methods.List {
			all = append(all, sentences(flat(method.Doc))...)
		}
	})
	return all
}

func (f *File) eachInterface(visit func(*ast.TypeSpec, *ast.InterfaceType, *ast.CommentGroup)) {
	for _, d := range f.file.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, s := range decl.Specs {
			spec, ok := s.(*ast.TypeSpec)
			if !ok {
				continue
			}
			if t, ok := spec.Type.(*ast.InterfaceType); ok {
				visit(spec, t, decl.Doc)
			}
		}
	}
}

// flat is the text of a comment on one line.
func flat(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }

// sentences splits a text behind every full stop.
func sentences(text string) []string {
	all := strings.Split(strings.ReplaceAll(text, ". ", ".\n"), "\n")
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

// Unchecked returns the sentences of which no promise has a part. promises
// are what the cases of a suite check.
func Unchecked(sentences, promises []string) []string {
	return slices.DeleteFunc(slices.Clone(sentences), func(s string) bool {
		return slices.ContainsFunc(promises, func(p string) bool {
			return strings.Contains(s, p) || strings.Contains(p, s)
		})
	})
}
