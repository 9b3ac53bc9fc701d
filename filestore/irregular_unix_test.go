//go:build unix

package filestore

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A link, FIFO or directory in place of a file is not followed, and does not block.
func TestIrregularFiles(t *testing.T) {
	fifo := func(path string) error { return syscall.Mkfifo(path, 0o644) }
	link := func(path string) error { return os.Symlink("other.info", path) }
	loop := func(path string) error { return os.Symlink(filepath.Base(path), path) }
	dir := func(path string) error { return os.Mkdir(path, 0o755) }
	makers := map[string]func(string) error{"fifo": fifo, "link": link, "loop": loop, "directory": dir}
	for name, make := range makers {
		for _, file := range []string{"a.info", "a"} {
			t.Run(name+" "+file, func(t *testing.T) {
				s := openStore(t, Ack)
				createWithContent(t, s, "other", 3, "abc")
				writeFiles(t, s, map[string]string{"a": stored, "a.info": v2Record("a", 11, "a")})
				path := filepath.Join(s.Path, file)
				if err := errors.Join(os.Remove(path), make(path)); err != nil {
					t.Fatal(err)
				}
				if file == "a" {
					wantBroken(t, s)
					return
				}
				wantForeign(t, s)
				wantUntouched(t, s, map[string]string{"a": stored})
			})
		}
	}
}
