package protocoltest

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/storetest"
)

// A start removes the spooled bodies that a killed server has left, and no other file.
func TestSpoolIsSwept(t *testing.T) {
	dir := t.TempDir()
	stays := []string{"tusd-checksum-", "tusd-checksum-1a", "tusd-checksum-12.txt", "tusd-checksum", "mine-tusd-checksum-1", "tusd-checksum-9/file"}
	for _, name := range append(stays, "tusd-checksum-123", "tusd-checksum-4294967295") {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	config := tusd.Config{StoreComposer: tusd.NewStoreComposer(), ChecksumSpool: dir}
	storetest.NewMemory().UseIn(config.StoreComposer)
	handler, err := tusd.NewHandler(config)
	if err != nil {
		t.Fatal(err)
	}
	defer handler.Shutdown(t.Context())
	var names []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	want := []string{"mine-tusd-checksum-1", "tusd-checksum", "tusd-checksum-", "tusd-checksum-12.txt", "tusd-checksum-1a", "tusd-checksum-9"}
	if !slices.Equal(names, want) {
		t.Errorf("left: %q, want %q", names, want)
	}
}
