package filestore

import (
	"io"
	"strings"
)

// failAfter delivers content and then err.
func failAfter(content string, err error) io.Reader {
	return io.MultiReader(strings.NewReader(content), errReader{err})
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// readFunc is a source that calls a function.
type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }
