//go:build linux

package faulttest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Builder builds the daemon once for each set of build tags. The zero value is ready to
// use.
type Builder struct {
	mu    sync.Mutex
	dir   string
	built map[string]string // by tags
}

// Binary returns the path of the daemon built with tags (comma-separated).
func (b *Builder) Binary(t testing.TB, tags string) string {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if path, ok := b.built[tags]; ok {
		return path
	}
	path, err := b.build(tags)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func (b *Builder) build(tags string) (string, error) {
	if b.dir == "" {
		dir, err := os.MkdirTemp("", "tusd-faulttest-")
		if err != nil {
			return "", err
		}
		b.dir, b.built = dir, make(map[string]string)
	}
	path := filepath.Join(b.dir, "tusd-"+tags)
	build := exec.Command("go", "build", "-tags", tags, "-o", path, "github.com/tus/tusd/cmd/tusd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as releases are built; no C library makes system calls
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build with tags %q: %w\n%s", tags, err, output)
	}
	b.built[tags] = path
	return path, nil
}

// Remove deletes all binaries.
func (b *Builder) Remove() error {
	if b.dir == "" {
		return nil
	}
	return os.RemoveAll(b.dir)
}
