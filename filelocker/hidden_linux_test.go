package filelocker

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tus/tusd"
)

// A job that cleans the directory may remove the lock file. Who holds a lock
// is asked to let go, nobody gets one that others would not see, and with the
// last one all meet on a new file.
func TestRemovedLockFile(t *testing.T) {
	dir := t.TempDir()
	l := onDir("default", dir)
	defer l.Close()
	held := mustLock(t, l, "a", tusd.LockTry)
	if err := os.Remove(filepath.Join(dir, slotFile)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-held.Wanted():
	case <-time.After(10 * time.Second):
		t.Fatal("the holder is not asked to let go")
	}
	if _, err := l.Lock(t.Context(), "b", tusd.LockTry); !errors.Is(err, errHidden) {
		t.Fatalf("beside a lock that others do not see there is another one: %v", err)
	}
	wantUnlocked(t, held)
	again := mustLock(t, l, "a", tusd.LockTry)
	other := onDir("default", dir)
	defer other.Close()
	wantRefused(t, other, "a")
	wantUnlocked(t, again)
	wantUnlocked(t, mustLock(t, other, "a", tusd.LockTry))
}
