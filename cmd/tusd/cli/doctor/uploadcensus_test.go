package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/tus/tusd/internal/require"
)

// The memory of a census is bounded: it reads no more names than it examines.
func TestCensusOfManyFiles(t *testing.T) {
	require.Long(t)
	dir := t.TempDir()
	for i := range 20_000 {
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%032x", i)))
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	var from, to runtime.MemStats
	runtime.ReadMemStats(&from)
	found := uploadCensus{whole: true}
	err := found.count(dir, time.Now().Add(time.Hour))
	runtime.ReadMemStats(&to)
	if err != nil || found.files != maxCensusFiles || found.whole {
		t.Errorf("%d files were seen, all of them: %t, %v", found.files, found.whole, err)
	}
	if took := to.TotalAlloc - from.TotalAlloc; took > 2<<20 {
		t.Errorf("%d bytes were allocated", took)
	}
}

func TestCensusSeesEverything(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "a.info", "b/c/d", "b/c/d.info", "e.lock", ".tusd.d/x", ".tusd.locks"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("{}"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found := uploadCensus{whole: true}
	if err := found.count(dir, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if found.files != 5 || found.records != 2 || found.lockFiles != 1 || !found.whole {
		t.Errorf("found %+v", found)
	}
	if err := new(uploadCensus).count(filepath.Join(dir, "missing"), time.Now()); !os.IsNotExist(err) {
		t.Errorf("a directory that is missing: %v", err)
	}
}
