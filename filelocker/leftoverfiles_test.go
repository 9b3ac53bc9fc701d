package filelocker

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd"
)

// tusd v2 leaves files with process ids, <id>.lock, in the directory. They have no effect,
// and a locker neither creates nor changes one.
func TestLeftoverLockFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ls := lockers(t, "default", 2)
		leftovers := map[string]string{"dead": "4194304\n", "living": "1\n", "garbage": "x", "empty": ""}
		for id, content := range leftovers {
			if err := os.WriteFile(filepath.Join(ls[0].Path, id+".lock"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.MkdirAll(filepath.Join(ls[0].Path, "directory.lock", "full"), 0o755); err != nil {
			t.Fatal(err)
		}
		before := namesIn(t, ls[0].Path)
		for _, id := range []string{"dead", "living", "garbage", "empty", "directory", "none"} {
			held := mustLock(t, ls[0], id, tusd.LockTry)
			time.Sleep(5 * time.Second)
			wantRefused(t, ls[1], id)
			if got := namesIn(t, ls[0].Path); !slices.Equal(got, before) {
				t.Errorf("while %s is locked the directory has %q, want %q", id, got, before)
			}
			wantUnlocked(t, held)
			wantUnlocked(t, mustLock(t, ls[1], id, tusd.LockTry))
		}
		for id, content := range leftovers {
			if got, err := os.ReadFile(filepath.Join(ls[0].Path, id+".lock")); string(got) != content || err != nil {
				t.Errorf("%s.lock has %q (%v), want %q", id, got, err, content)
			}
		}
	})
}

// namesIn returns the names in dir, sorted.
func namesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}
