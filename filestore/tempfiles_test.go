package filestore

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd"
)

// Open removes temporary files of ended processes. In a shared directory it removes only
// old files without an owner: another process may be writing a new one.
func TestSweepOfTemporaryFiles(t *testing.T) {
	s := openStore(t, Ack)
	writeFiles(t, s, map[string]string{tempDir + "/left": "x"})
	s = reopen(t, s)
	left := filepath.Join(s.Path, tempDir, "left")
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Open: %v", err)
	}
	writeFiles(t, s, map[string]string{tempDir + "/left": "x", tempDir + "/old": "x"})
	past := time.Now().Add(-2 * tempAge)
	if err := errors.Join(os.Chtimes(filepath.Join(s.Path, tempDir, "old"), past, past), s.Close()); err != nil {
		t.Fatal(err)
	}
	if err := s.Open(t.Context(), tusd.Env{Locker: machineLocker{}}); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(left)); len(entries) != 1 || entries[0].Name() != "left" {
		t.Errorf("after Open of a shared directory: %v, want the new file", entries)
	}
}

// Open removes temporary files of an owner that has ended, however new they are. It keeps
// files of a running owner and files with other names.
func TestSweepOfOwners(t *testing.T) {
	if !locksBytes {
		t.Skip("no locks on single bytes here")
	}
	open := func(s *FileStore) {
		t.Helper()
		if err := s.Open(t.Context(), tusd.Env{Locker: machineLocker{}}); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	first, ended := New(dir), New(dir)
	open(first)
	defer first.Close()
	open(ended)
	prefix, dead := first.opened.Load().tempPrefix, ended.opened.Load().tempPrefix
	if prefix == dead || prefix == "" {
		t.Fatalf("the owners are %q and %q", prefix, dead)
	}
	stays := []string{prefix + "A", "no-owner", "0000000000000001.A", "ffffffffffffffff.A", "1000.A", "-1000000000000001.A", "+" + dead + "A", strings.ToUpper(dead) + "A", "0" + dead + "A", strings.TrimSuffix(dead, ".")}
	writeFiles(t, first, map[string]string{tempDir + "/" + dead + "A": "x", tempDir + "/" + dead + "B": "x", dead + "C": "x"})
	for _, name := range stays {
		writeFiles(t, first, map[string]string{tempDir + "/" + name: "x"})
	}
	if err := os.MkdirAll(filepath.Join(dir, tempDir, dead+"D"), 0o777); err != nil {
		t.Fatal(err)
	}
	stays = append(stays, dead+"D")
	if err := ended.Close(); err != nil {
		t.Fatal(err)
	}
	second := New(dir)
	open(second)
	defer second.Close()
	var names []string
	entries, err := os.ReadDir(filepath.Join(dir, tempDir))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	slices.Sort(stays)
	if !slices.Equal(names, stays) {
		t.Errorf("after Open: %q, want %q", names, stays)
	}
	if _, err := os.Stat(filepath.Join(dir, dead+"C")); err != nil {
		t.Errorf("a file elsewhere: %v", err)
	}
	// The running owner still works.
	createWithContent(t, first, "a", 3, "abc")
	if err := loadUpload(t, first, "a").UpdateInfo(t.Context(), func(*tusd.FileInfo) error { return nil }); err != nil {
		t.Error(err)
	}
}
